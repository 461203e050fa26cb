"""Turns: what one commits, when it is stale, and that members of a group neither hurt nor hide each other."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import Receipt
from durable_ray.actors.store.sql.group import LONG_INPUT
from durable_ray.actors.store.writes import Refused, Repeated, Stale, Started, Successor, TurnCommitted
from durable_ray.orchestrations.history.events import ParentAddress
from tests.store_contract.building import advance, made, message, new, put, row, start, turn


def test_a_turn_changes_the_row_and_appends_to_history(store: Store) -> None:
    made(store, start("a"))
    first = turn(row(store, "a"), started_at=1500, custom_status='"half"', next_due=7000, outstanding=2, events=3)
    assert made(store, first) == TurnCommitted()
    now = store.load(["a"])["a"]
    assert now.history == ("turn 0",)
    assert (now.row.status, now.row.turn, now.row.events, now.row.outstanding) == ("Running", 1, 3, 2)
    assert (now.row.started_at, now.row.custom_status, now.row.next_due) == (1500, '"half"', 7000)
    assert (now.row.created_at, now.row.updated_at, now.row.completed_at) == (1000, 2000, None)
    advance(store, "a", custom_status=None)
    later = row(store, "a")
    assert (later.turn, later.started_at, later.custom_status, later.next_due) == (2, 1500, None, None)
    assert store.history("a") == ("turn 0", "turn 1")


def test_history_is_in_order_however_long(store: Store) -> None:
    made(store, start("a"))
    for _ in range(12):
        advance(store, "a")
    assert store.history("a") == tuple(f"turn {n}" for n in range(12))


def test_a_turn_without_events_adds_no_history(store: Store) -> None:
    made(store, start("a"))
    advance(store, "a", events=0, body="")
    assert store.history("a") == ()
    assert row(store, "a").turn == 1


@pytest.mark.parametrize("status", ["Completed", "Failed", "Terminated"])
def test_a_finishing_turn_ends_everything(store: Store, status: str) -> None:
    made(store, start("a"))
    advance(store, "a", next_due=7000)
    made(store, put("a", "m1"), put("a", "m2"))
    advance(store, "a", status, output='"out"', failure='{"f": 1}', expires=9000, next_due=7000)
    ended = store.load(["a"])["a"]
    assert (ended.row.status, ended.row.output, ended.row.failure) == (status, '"out"', '{"f": 1}')
    assert (ended.row.completed_at, ended.row.next_due) == (2001, None)
    assert ended.inbox == ()
    assert store.due("partition-1", 10**9, 10) == ()
    assert store.live_standings(("", ""), 10) == []


def test_a_rewound_instance_is_live_again(store: Store) -> None:
    made(store, start("a"))
    advance(store, "a", "Failed", failure="{}", expires=9000)
    advance(store, "a", "Running")
    now = row(store, "a")
    assert (now.status, now.completed_at, now.failure) == ("Running", None, None)
    assert [live.instance_id for _, live in store.live_standings(("", ""), 10)] == ["a"]
    assert store.expired(10**9, 10) == ()


@pytest.mark.parametrize(
    "wrong", [{"turn": 0}, {"turn": 2}, {"execution_id": "x0"}, {"host": "partition-2"}, {"old_status": "Pending"}]
)
def test_a_turn_that_does_not_fit_changes_nothing(store: Store, wrong: dict[str, Any]) -> None:
    made(store, start("a"), start("b"))
    advance(store, "a")
    before = store.load(["a", "b"])
    stale = replace(turn(before["a"].row), **wrong, messages=(message("b"),), children=(new("c"),))
    assert made(store, stale) == Stale()
    assert store.load(["a", "b", "c"]) == before


def test_a_turn_of_an_absent_instance_is_stale(store: Store) -> None:
    assert made(store, turn(new("nobody"))) == Stale()


def test_a_stale_turn_does_not_hurt_its_neighbours(store: Store) -> None:
    made(store, *(start(name) for name in "abc"))
    zombie = turn(row(store, "b"))
    advance(store, "b")
    answers = made(store, turn(row(store, "a")), zombie, turn(row(store, "c")))
    assert answers == (TurnCommitted(), Stale(), TurnCommitted())
    assert [row(store, name).turn for name in "abc"] == [1, 1, 1]


def test_a_turn_that_cannot_be_stored_does_not_hurt_its_neighbours(store: Store) -> None:
    made(store, *(start(name) for name in "abc"))
    bad = turn(row(store, "b"), body="\ud800", messages=(message("a"),))
    answers = made(store, turn(row(store, "a")), bad, turn(row(store, "c")))
    assert answers[0] == answers[2] == TurnCommitted()
    assert isinstance(answers[1], Refused)
    assert row(store, "b").turn == 0
    assert store.inbox(["a", "b"]) == ()


def test_one_group_may_hold_a_whole_life(store: Store) -> None:
    pending = new("a")
    running = replace(turn(pending), turn=1, old_status="Running", first_event=1, body="turn 1")
    done = replace(running, turn=2, first_event=2, status="Completed", output='"out"', completed_at=2009)
    answers = made(store, start("a"), turn(pending), put("a"), running, done, put("a", "late"), start("a"))
    assert [type(answer).__name__ for answer in answers] == [
        "Started", "TurnCommitted", "Delivered", "TurnCommitted", "TurnCommitted", "Finished", "Started",
    ]  # fmt: skip
    assert answers[6].replaced.output == '"out"'
    assert answers[6].replaced.completed_at == answers[6].replaced.updated_at == 2009
    assert (store.history("a"), store.inbox(["a"])) == ((), ())
    assert store.counts() == {("hello", "Pending"): 1}


def test_turns_in_a_row_need_no_commit_between_them(store: Store) -> None:
    made(store, start("a"))
    first = turn(row(store, "a"))
    second = replace(first, turn=1, old_status="Running", first_event=1, body="turn 1", next_due=8000)
    assert made(store, first, second, second) == (TurnCommitted(), TurnCommitted(), Stale())
    assert store.history("a") == ("turn 0", "turn 1")
    assert row(store, "a").next_due == 8000


def test_consumed_messages_go_with_the_turn(store: Store) -> None:
    made(store, start("a"), put("a", "m1"), put("a", "m2"), put("a", "m3"))
    waiting = store.inbox(["a"])
    advance(store, "a", consumed=(waiting[0].row, waiting[2].row))
    assert [pending.message_id for pending in store.inbox(["a"])] == ["m2"]


def test_a_turns_messages_reach_live_receivers_only(store: Store) -> None:
    made(store, start("a"), start("b"), start("done", host="partition-2"))
    advance(store, "done", "Completed")
    answer = advance(
        store, "a", messages=(message("b", "m1"), message("done", "m2"), message("nobody", "m3"), message("a", "m4"))
    )
    assert answer == TurnCommitted(receivers={"b": ("partition-1", True), "a": ("partition-1", True)})
    assert [(pending.instance_id, pending.message_id) for pending in store.inbox(["a", "b", "done"])] == [
        ("b", "m1"),
        ("a", "m4"),
    ]


def test_children_begin_with_the_turn_that_calls_them(store: Store) -> None:
    made(store, start("p"))
    parent = ParentAddress("p", "p-x1", 1)
    children = (new("c1", parent=parent), new("c2", host="c2", placement="dedicated", parent=parent))
    answer = advance(store, "p", children=children)
    assert answer == TurnCommitted(receivers={"c1": ("partition-1", True), "c2": ("c2", False)})
    assert row(store, "c1").parent == row(store, "c2").parent == parent


def test_a_child_whose_id_is_taken_becomes_a_message_home(store: Store) -> None:
    made(store, start("p"), start("taken"), start("old"))
    advance(store, "old", "Completed")
    children = (new("taken", execution_id="x2"), new("old", execution_id="x2"))
    answer = advance(
        store, "p", children=children, child_conflicts=(message("p", "conflict 1"), message("p", "conflict 2"))
    )
    assert answer.conflicts == ("taken",)
    assert answer.receivers == {"old": ("partition-1", True), "p": ("partition-1", True)}
    assert row(store, "taken").execution_id == "taken-x1"
    assert row(store, "old").execution_id == "x2"
    assert [pending.message_id for pending in store.inbox(["p"])] == ["conflict 1"]


def test_two_parents_that_want_one_child_get_one(store: Store) -> None:
    made(store, start("p"), start("q"))
    child, conflict = (new("c"),), {"p": (message("p"),), "q": (message("q"),)}
    first, second = made(
        store, *(turn(row(store, name), children=child, child_conflicts=conflict[name]) for name in "pq")
    )
    assert (first.conflicts, second.conflicts) == ((), ("c",))
    assert [pending.instance_id for pending in store.inbox(["p", "q"])] == ["q"]


@pytest.mark.parametrize("length", [3, LONG_INPUT + 1])
def test_continue_as_new_begins_anew_in_the_same_row(store: Store, length: int) -> None:
    made(store, start("a", input="i" * (LONG_INPUT + 1)))
    advance(store, "a", started_at=1500)
    made(store, put("a", "kept"))
    following = Successor("x2", 1, "n" * length, "fresh", 2, "v2", "c2")
    assert advance(store, "a", successor=following, body="last words") == TurnCommitted()
    now = store.load(["a"])["a"]
    assert (now.row.execution_id, now.row.generation, now.row.input) == ("x2", 1, "n" * length)
    assert (now.row.version, now.row.code_id, now.row.events, now.row.turn) == ("v2", "c2", 2, 2)
    assert (now.row.created_at, now.row.started_at) == (1000, 1500)
    assert now.history == ("fresh",)
    assert [pending.message_id for pending in now.inbox] == ["kept"]
    assert made(store, replace(turn(now.row), execution_id="a-x1")) == Stale()
    assert advance(store, "a") == TurnCommitted()
    assert store.history("a") == ("fresh", "turn 2")


def test_the_receipts_of_a_turns_letters_are_kept(store: Store) -> None:
    made(store, start("a"))
    advance(store, "a", receipts=(Receipt("r1", "ok", 9000), Receipt("r2", "refused why", 9000)))
    assert store.receipts(["r1", "r2", "r3"]) == {"r1": "ok", "r2": "refused why"}


@pytest.mark.parametrize("first", ["in the inbox", "in a turn", "in the same group"])
def test_a_turn_that_takes_what_was_taken_before_is_not_made(store: Store, first: str) -> None:
    """One request, two ways to its instance: whichever is committed first, the other finds its receipt."""
    made(store, start("a"), start("b"))
    request, other = Receipt("r", "ok", 9000), Receipt("r2", "ok", 9000)
    delivery = replace(message("a"), receipt=request)
    match first:
        case "in the inbox":
            made(store, delivery)
        case "in a turn":
            advance(store, "b", receipts=(request,))
    group = [
        turn(row(store, "b")),
        turn(row(store, "a"), receipts=(other, request)),
        put("b", "m2"),
    ]
    if first == "in the same group":
        group.insert(0, delivery)
    assert made(store, *group)[-3:-1] == (TurnCommitted(), Repeated("ok"))
    assert (row(store, "a").turn, store.history("a")) == (0, ())
    assert list(store.receipts(["r", "r2"])) == ["r"]
    assert [mail.message_id for mail in store.inbox(["b"])] == ["m2"], "its neighbours were made"
    assert made(store, turn(row(store, "a"), receipts=(other,))) == TurnCommitted()


def test_a_committed_turn_is_progress(store: Store) -> None:
    made(store, start("a"))
    assert [store.note_recovery("a") for _ in range(3)] == [1, 2, 3]
    store.set_waiting_reason("a", "code")
    assert row(store, "a").waiting_reason == "code"
    assert row(store, "a").recoveries == 3
    advance(store, "a")
    assert (row(store, "a").recoveries, row(store, "a").waiting_reason) == (0, None)
    assert store.note_recovery("nobody") == 0


def test_a_large_group_is_one_commit(store: Store) -> None:
    names = [f"i{n}" for n in range(300)]
    assert set(made(store, *(start(name) for name in names))) == {Started()}
    rows = store.rows(names)
    assert set(map(type, made(store, *(turn(rows[name]) for name in names)))) == {TurnCommitted}
    assert {each.turn for each in store.rows(names).values()} == {1}
