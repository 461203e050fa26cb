"""Starts get one reply each, whatever the store says: repeated, taken, or to be looked at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

import durable_ray as dr
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.instances.starting import Start, begin, make_rows, new_instance
from durable_ray.actors.messages import Reply, StartOptions, StartRequest
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.records import InstanceRow
from durable_ray.actors.store.writes import Answer, StartInstance, Write
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_event
from durable_ray.orchestrations.history.events import Message, ParentAddress
from tests.unit.actors.hosting import new_library, new_store, row_of


@dr.orchestrator(name="unit.start")
async def start(ctx: dr.OrchestrationContext) -> None: ...


class Place:
    """A store, and the starts made in it."""

    def __init__(self) -> None:
        self.store = new_store()
        self.instance_factory = InstanceFactory(
            new_library(start, store=self.store), HubSettings(partitions=1).settled()
        )
        self.commits = 0

    async def commit(self, writes: Sequence[Write]) -> Sequence[Answer]:
        self.commits += 1
        return self.store.commit(None, writes).answers

    async def rows(self, ids: Sequence[str]) -> Mapping[str, InstanceRow]:
        return self.store.rows(ids)

    async def make(self, *requests: StartRequest) -> tuple[list[Reply | None], list[tuple[str, str]]]:
        starts: list[Start] = new_instance(requests, self.instance_factory, 1000)

        async def again(outdated: Sequence[Start]) -> None:
            self.instance_factory._definition_cache.refresh()
            make_rows(outdated, self.instance_factory, 1000)

        told = await begin(starts, 1000, 60, self.commit, self.rows, again)
        return [one.reply for one in starts], told


def request(number: int = 1, **more: Any) -> StartRequest:
    own = {name: more.pop(name) for name in ("if_exists", "signal") if name in more}
    given = {"name": "unit.start", "instance_id": "i", "execution_id": f"e{number}", "named": True} | more
    return StartRequest(f"r{number}", StartOptions(**given), **own)


def codes(replies: Sequence[Reply | None]) -> list[str]:
    return [reply.code if reply else "none" for reply in replies]


async def test_of_several_one_wins_and_the_unknown_are_named() -> None:
    replies, _ = await Place().make(request(1), request(2), request(3, name="nobody", version="9"))
    assert codes(replies) == ["ok", "exists", "unknown"]
    assert replies[2] is not None
    assert "'nobody' version '9'" in replies[2].detail


async def test_the_same_request_again_has_the_same_reply_and_one_signal() -> None:
    place = Place()
    signal = Message("s", ev.EventRaised("e"))
    once = request(1, if_exists="use_existing", signal=signal)
    for _ in range(3):
        replies, _ = await place.make(once)
        assert codes(replies) == ["ok"]
        assert len(place.store.inbox(["i"])) == 1


async def test_a_signal_consumed_before_the_retry_is_not_sent_again() -> None:
    place = Place()
    once = request(1, if_exists="use_existing", signal=Message("s", ev.EventRaised("e")))
    await place.make(once)
    place.store.commit(
        None,
        [StartInstance(replace(new_instance([request(2)], place.instance_factory, 1)[0].new), "terminate_existing")],
    )  # type: ignore[type-var, arg-type]
    assert place.store.inbox(["i"]) == ()
    await place.make(once)
    assert place.store.inbox(["i"]) == ()


@pytest.mark.parametrize("policy", ["reject", "reject_finished", "terminate_existing"])
def test_only_a_start_that_cannot_be_refused_carries_a_signal(policy: str) -> None:
    with pytest.raises(ValueError, match="use_existing"):
        request(1, if_exists=policy, signal=Message("s", ev.EventRaised("e")))


async def test_what_was_conceived_by_old_definitions_is_conceived_anew() -> None:
    place = Place()
    newer = replace(row_of(start), code_id="newer")
    place.store.put_definitions([newer])
    replies, _ = await place.make(request(1))
    assert codes(replies) == ["ok"]
    assert (place.store.rows(["i"])["i"].code_id, place.commits) == ("newer", 2)
    place.store.put_definitions([replace(newer, code_id="newest")])
    replies, _ = await place.make(request(1))
    assert (codes(replies), place.store.rows(["i"])["i"].code_id) == (["ok"], "newer"), "it was begun before"


async def test_a_signal_reaches_the_instance_that_is_there() -> None:
    place = Place()
    await place.make(request(1))
    replies, _ = await place.make(request(2, if_exists="use_existing", signal=Message("s", ev.EventRaised("e"))))
    assert codes(replies) == ["exists"]
    assert [row.message_id for row in place.store.inbox(["i"])] == ["s"]


@pytest.mark.parametrize("policy", ["reject", "use_existing", "reject_finished"])
async def test_a_live_one_stays(policy: str) -> None:
    place = Place()
    await place.make(request(1))
    replies, _ = await place.make(request(2, if_exists=policy))
    assert replies[0] is not None
    assert (replies[0].code, replies[0].detail) == ("exists", "Pending")
    assert replies[0].row is not None
    assert replies[0].row.execution_id == "e1"


async def test_a_live_child_is_replaced_together_with_the_word_to_its_parent() -> None:
    place = Place()
    await place.make(request(9, instance_id="p"))
    (kid,) = new_instance([request(1)], place.instance_factory, 1000)
    assert kid.new is not None
    place.store.commit(None, [StartInstance(replace(kid.new, parent=ParentAddress("p", "e9", 3)))])
    place.commits = 0
    replies, told = await place.make(request(2, if_exists="terminate_existing"))
    assert codes(replies) == ["ok"]
    assert told == [("instance:p", "p")]
    assert place.commits == 2, "it had to look at the child first"
    (row,) = place.store.inbox(["p"])
    event = decode_event(row.body)
    assert isinstance(event, ev.ChildFailed)
    assert (event.task_id, row.execution_id) == (3, "e9")
    assert place.store.rows(["i"])["i"].parent is None


async def test_who_has_no_parent_is_replaced_at_once() -> None:
    place = Place()
    await place.make(request(1))
    replies, told = await place.make(request(2, if_exists="terminate_existing"))
    assert (codes(replies), told, place.commits) == (["ok"], [], 2)
    assert place.store.rows(["i"])["i"].execution_id == "e2"
