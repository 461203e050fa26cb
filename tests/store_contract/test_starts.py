"""Starting: what is kept of a new instance, every `if_exists` policy, receipts, and ending one that never began."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import FINISHED, DefinitionRow, IfExists, Receipt
from durable_ray.actors.store.sql.group import LONG_INPUT
from durable_ray.actors.store.writes import (
    Absent,
    Delivered,
    Done,
    Exists,
    Finished,
    FinishUnstarted,
    Refused,
    Repeated,
    Stale,
    Started,
    StartInstance,
)
from durable_ray.orchestrations.history.events import ParentAddress
from durable_ray.orchestrations.values.ids import (
    MAX_TAG_KEY_LENGTH,
    MAX_TAG_VALUE_LENGTH,
    MAX_VERSION_LENGTH,
    onward_message_id,
    validate_definition_name,
    validate_instance_id,
    validate_tags,
    validate_version,
)
from tests.store_contract.building import advance, dedicated, made, message, new, put, row, start, turn

POLICIES: tuple[IfExists, ...] = ("reject", "use_existing", "terminate_existing", "reject_finished")


def test_all_that_is_said_of_an_instance_is_kept(store: Store) -> None:
    said = new(
        "a/ü",
        version="2",
        code_id="c0de",
        input='{"ä": "\\u0000 \U0001f600"}',
        start_at=5000,
        parent=ParentAddress("p", "px", 7),
        tags={"team": "blue", "ünit": ""},
        priority=-3,
        environment="e1",
        settings='{"idle_timeout": 5}',
        placement="dedicated",
        host="a/ü",
    )
    assert made(store, StartInstance(said)) == Started()
    kept = row(store, "a/ü")
    for name in said.__struct_fields__:
        assert getattr(kept, name) == getattr(said, name), name
    assert (kept.status, kept.turn, kept.events, kept.generation) == ("Pending", 0, 0, 0)
    assert (kept.created_at, kept.updated_at, kept.next_due) == (1000, 1000, 5000)
    assert not kept.resident
    assert store.load(["a/ü"])["a/ü"].history == ()


def longest(characters: int) -> str:
    """A text of four bytes a character in which nothing repeats, so that no index entry can be compressed."""
    return "".join(chr(0x10000 + n) for n in random.Random(characters).sample(range(0x20000), characters))


def test_the_longest_strings_of_all_fit_together_into_every_index(store: Store) -> None:
    instance_id = validate_instance_id(longest(256))
    tags = validate_tags({longest(MAX_TAG_KEY_LENGTH): longest(MAX_TAG_VALUE_LENGTH)})
    name, version = validate_definition_name(name_of(200)), validate_version(longest(MAX_VERSION_LENGTH))
    message_id = "m"
    for _ in range(400):
        message_id = onward_message_id(message_id, 9999)
    parent = ParentAddress(longest(255), "x" * 32, 7)
    of = {"name": name, "version": version, "tags": tags, "parent": parent, "host": dedicated_host(instance_id)}
    store.put_definitions([DefinitionRow("orchestrator", name, version, "c" * 64, "value", b"", "{}", None)])
    made(store, start(instance_id, placement="dedicated", execution_id="x" * 32, **of))
    made(store, put(instance_id, message_id))
    assert row(store, instance_id).tags == tags
    assert [found.message_id for found in store.load([instance_id])[instance_id].inbox] == [message_id]


def name_of(characters: int) -> str:
    """As long a name as there can be: what cannot be printed is no part of it."""
    return "".join(chr(0x20000 + n) for n in random.Random(characters).sample(range(0x9000), characters))


def test_a_shared_instance_lives_where_its_host_is(store: Store) -> None:
    made(store, start("s"))
    assert row(store, "s").resident


@pytest.mark.parametrize("length", [0, LONG_INPUT, LONG_INPUT + 1, 300_000])
def test_an_input_of_any_length_comes_back(store: Store, length: int) -> None:
    made(store, start("a", input="x" * length))
    assert row(store, "a").input == "x" * length


def test_an_instance_without_input_has_none(store: Store) -> None:
    made(store, start("a"))
    assert row(store, "a").input is None


@pytest.mark.parametrize("policy", POLICIES)
def test_a_free_id_starts_under_any_policy(store: Store, policy: IfExists) -> None:
    assert made(store, start("a", if_exists=policy)) == Started()


@pytest.mark.parametrize("policy", ["reject", "use_existing", "reject_finished"])
def test_a_live_instance_keeps_its_id(store: Store, policy: IfExists) -> None:
    made(store, start("a"))
    for status in ("Pending", "Running", "Suspended"):
        if status != "Pending":
            advance(store, "a", status)
        before = row(store, "a")
        assert made(store, start("a", execution_id="x2", if_exists=policy)) == Exists(before)
        assert row(store, "a") == before


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("status", FINISHED)
def test_a_finished_instance_makes_way_unless_it_must_not(store: Store, policy: IfExists, status: str) -> None:
    made(store, start("a", input="x" * 5000, tags={"old": "1"}))
    advance(store, "a")
    advance(store, "a", status)
    before = row(store, "a")
    answer = made(store, start("a", execution_id="x2", input='"new"', tags={"new": "1"}, if_exists=policy))
    if policy == "reject_finished":
        assert answer == Exists(before)
        return
    assert answer == Started(replaced=before)
    now = row(store, "a")
    assert (now.execution_id, now.status, now.turn, now.input, now.tags) == ("x2", "Pending", 0, '"new"', {"new": "1"})
    assert (now.completed_at, now.output, now.started_at) == (None, None, None)
    assert store.history("a") == ()


def test_terminate_existing_takes_the_place_of_a_live_one(store: Store) -> None:
    made(store, start("a"))
    advance(store, "a")
    made(store, put("a"))
    before = row(store, "a")
    answer = made(store, start("a", execution_id="x2", if_exists="terminate_existing"))
    assert answer == Started(replaced=before)
    assert store.inbox(["a"]) == ()
    assert store.history("a") == ()
    assert made(store, turn(before)) == Stale()


def test_a_replaced_child_is_not_forgotten_by_its_parent(store: Store) -> None:
    made(store, start("p"), start("c", parent=ParentAddress("p", "p-x1", 3)))
    taking = start("c", execution_id="c-x2", if_exists="terminate_existing")
    assert made(store, taking) == Stale()  # the caller did not see that there is a parent
    informed = replace(taking, on_replaced=message("p", "ended"), replaces="c-x1")
    assert made(store, replace(informed, replaces="c-x0")) == Stale()
    assert isinstance(made(store, informed), Started)
    assert [pending.message_id for pending in store.inbox(["p"])] == ["ended"]


def test_of_starts_in_one_group_the_first_wins(store: Store) -> None:
    first, second = made(store, start("a", execution_id="x1"), start("a", execution_id="x2"))
    assert first == Started()
    assert isinstance(second, Exists)
    assert second.row.execution_id == "x1"


def test_a_retried_request_is_answered_as_the_first_time(store: Store) -> None:
    receipt = Receipt("r1", "started a", 9000)
    assert made(store, start("a", receipt=receipt)) == Started()
    assert made(store, start("a", receipt=receipt)) == Repeated("started a")
    assert store.receipts(["r1", "r2"]) == {"r1": "started a"}
    assert made(store, start("b", receipt=Receipt("r1", "other", 1))) == Repeated("started a")
    assert store.rows(["b"]) == {}


def test_a_retry_in_the_same_group_is_one_too(store: Store) -> None:
    receipt = Receipt("r1", "started a", 9000)
    assert made(store, start("a", receipt=receipt), start("a", receipt=receipt)) == (Started(), Repeated("started a"))


def test_a_refused_start_leaves_no_receipt(store: Store) -> None:
    made(store, start("a"))
    assert isinstance(made(store, start("a", receipt=Receipt("r1", "started a", 9000))), Exists)
    assert store.receipts(["r1"]) == {}


def test_what_cannot_be_stored_is_refused_alone(store: Store) -> None:
    bad = start("bad", input='"\ud800"')
    before, answer, after = made(store, start("a"), bad, start("b"))
    assert before == after == Started()
    assert isinstance(answer, Refused)
    assert set(store.rows(["a", "bad", "b"])) == {"a", "b"}
    assert isinstance(made(store, start("huge", priority=1 << 70)), Refused)


def test_an_unstarted_instance_ends_without_a_process(store: Store) -> None:
    made(store, start("p"), StartInstance(dedicated("c", start_at=9999, parent=ParentAddress("p", "p-x1", 1))))
    made(store, put("c"))
    ending = FinishUnstarted(
        "c", "c-x1", "Terminated", 3000, "ended", 2, output='"why"', message=message("p"), expires=8000
    )
    assert made(store, ending) == Done()
    ended = store.load(["c"])["c"]
    assert (ended.row.status, ended.row.output, ended.row.events, ended.row.turn) == ("Terminated", '"why"', 2, 1)
    assert (ended.row.completed_at, ended.row.updated_at, ended.row.next_due) == (3000, 3000, None)
    assert (ended.history, ended.inbox) == (("ended",), ())
    assert [pending.message_id for pending in store.inbox(["p"])] == ["m1"]
    assert made(store, ending) == Finished("Terminated")
    assert store.expired(7999, 10) == ()
    assert store.expired(8000, 10) == (ended.row.row_version,)


def test_what_was_decided_about_an_instance_is_not_done_to_a_later_one_of_its_id(store: Store) -> None:
    made(store, start("a"))
    made(store, start("a", execution_id="a-x2", created_at=2000, if_exists="terminate_existing"))
    assert made(store, FinishUnstarted("a", "a-x1", "Terminated", 3000, "ended", 1)) == Stale()
    assert made(store, replace(message("a"), created_at=1000)) == Absent()
    assert (row(store, "a").status, store.history("a"), store.inbox(["a"])) == ("Pending", (), ())
    assert isinstance(made(store, replace(message("a"), created_at=2000)), Delivered)
    assert made(store, FinishUnstarted("a", "a-x2", "Terminated", 3000, "ended", 1)) == Done()


def test_only_what_never_had_a_turn_ends_so(store: Store) -> None:
    ending = FinishUnstarted("a", "a-x1", "Terminated", 3000, "ended", 1)
    assert made(store, ending) == Absent()
    made(store, start("a"))
    pending = row(store, "a")
    advance(store, "a")
    assert made(store, ending) == Stale()
    made(store, start("b"))
    assert made(store, replace(ending, instance_id="b", execution_id="b-x1")) == Done()
    assert made(store, turn(replace(pending, instance_id="b", execution_id="b-x1"))) == Stale()
