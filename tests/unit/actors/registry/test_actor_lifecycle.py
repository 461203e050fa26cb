"""ActorLifecycle: a place is taken until its name is free, whatever is reported of the actor; one in doubt is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from durable_ray.actors.instances.placement import instance_of
from durable_ray.actors.registry import actor_lifecycle
from durable_ray.actors.registry.actor_lifecycle import (
    TRANSITIONS,
    ActorEvent,
    ActorLifecycle,
    ActorState,
    InstanceProcess,
    Unreachable,
)


class World:
    """Two sets: whose name is taken, and who answers. What the lifecycle does is recorded."""

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.answering: set[str] = set()
        self.notified: list[str] = []
        self.vacated: list[str] = []
        self.reached: list[str] = []
        self.freed = 0
        #: In this order: what is raised, or waited for, in place of the next listings and notifications.
        self.listings: list[Exception] = []
        self.answers: list[Exception | asyncio.Event] = []
        self.listed, self.list_seconds = 0, 0.0
        self.ended: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.here = ActorLifecycle(self, self._vacate, self._freed, self.reached.extend, self._spawn)

    def lives(self, *names: str, answers: bool = True) -> None:
        self.named.update(names)
        if answers:
            self.answering.update(names)

    async def alive(self) -> set[str]:
        self.listed += 1
        await asyncio.sleep(self.list_seconds)
        if self.listings:
            raise self.listings.pop(0)
        return set(self.named)

    async def notify(self, host: str, instance_ids: Sequence[str]) -> bool:
        self.notified.append(instance_of(host))
        answer = instance_of(host) in self.answering
        if self.answers:
            instead = self.answers.pop(0)
            if isinstance(instead, Exception):
                raise instead
            await instead.wait()
        return answer

    async def end(self, instance_id: str) -> None:
        self.ended.append(instance_id)
        self.named.discard(instance_id)

    async def _vacate(self, instance_id: str) -> None:
        assert instance_id in self.here, "its place was free before the store knew"
        self.vacated.append(instance_id)

    async def _freed(self) -> None:
        self.freed += 1

    def _spawn(self, work: Any) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    async def settle(self) -> None:
        await asyncio.gather(*self.tasks)


def run(play: Callable[[World], Awaitable[None]]) -> None:
    async def with_world() -> None:
        await play(World())

    asyncio.run(with_world())


async def steps(world: World, wanted: int) -> None:
    """Let it ask so often."""
    target = len(world.notified) + wanted
    while len(world.notified) < target:
        await asyncio.sleep(0.001)


def running(world: World, name: str = "i") -> InstanceProcess:
    """One that answers, or did."""
    world.here.reserve([name])
    process = world.here.get(name)
    assert process is not None
    process.created, process.state = True, ActorState.RUNNING
    return process


def doubted(world: World, name: str = "i") -> None:
    world.here.suspect(name, running(world, name))


def test_a_place_is_taken_until_the_name_is_free() -> None:
    async def play(world: World) -> None:
        world.lives("i", answers=False)
        doubted(world)
        await steps(world, 3)
        assert "i" in world.here
        assert not world.here.is_running("i")
        assert not world.here.all_running
        assert (world.vacated, world.freed) == ([], 0)
        world.named.clear()
        await world.settle()
        assert "i" not in world.here
        assert (world.vacated, world.freed) == (["i"], 1)

    run(play)


def test_one_that_stays_or_was_restarted_is_notified_and_running_again() -> None:
    async def play(world: World) -> None:
        world.lives("i", answers=False)
        doubted(world)
        await steps(world, 2)
        world.answering.add("i")
        await world.settle()
        assert world.here.is_running("i")
        assert world.reached == ["i"]
        assert world.vacated == []

    run(play)


def test_doubts_about_one_process_are_cleared_up_once() -> None:
    async def play(world: World) -> None:
        world.lives("i", answers=False)
        process = running(world)
        for _ in range(4):
            world.here.suspect("i", process)
        await steps(world, 2)
        world.named.clear()
        await world.settle()
        assert (world.vacated, world.freed) == (["i"], 1)

    run(play)


def test_a_doubt_about_a_predecessor_does_not_touch_its_successor() -> None:
    async def play(world: World) -> None:
        world.lives("i")
        predecessor = running(world)
        running(world)
        await world.here.suspect("i", predecessor)
        assert world.here.is_running("i")
        assert world.notified == []

    run(play)


def test_an_answer_from_before_it_was_known_to_be_stopping_does_not_count() -> None:
    """It accepted a notification; while its answer travels it reports that it passivates, and its name is free."""

    async def play(world: World) -> None:
        world.lives("i")
        on_its_way = asyncio.Event()
        world.answers = [on_its_way]
        process = running(world)
        world.here.suspect("i", process)
        await steps(world, 1)
        world.here.suspect("i", process)
        world.named.clear()
        on_its_way.set()
        await world.settle()
        assert "i" not in world.here
        assert world.freed == 1

    run(play)


def test_a_notification_of_one_that_cannot_be_reached_waits_until_it_is_notified_or_gone() -> None:
    async def play(world: World) -> None:
        world.lives("i")
        world.answers = [Unreachable("no"), Unreachable("no"), Unreachable("no")]
        process = running(world)
        await world.here.notify("i", process, ["i"])
        assert len(world.notified) == 4
        assert world.here.is_running("i")
        world.answers = [Unreachable("no")]
        world.named.clear()
        await world.here.notify("i", process, ["i"])
        assert "i" not in world.here

    run(play)


@pytest.mark.parametrize("stays", [True, False])
def test_one_that_was_not_known_counts_and_is_asked(stays: bool) -> None:
    async def play(world: World) -> None:
        if stays:
            world.lives("s")
        world.here.discovered("s")
        assert len(world.here) == 1
        assert not world.here.is_running("s")
        await world.settle()
        assert world.here.is_running("s") == stays
        assert len(world.here) == stays

    run(play)


def test_a_new_one_is_running_only_when_it_was_notified() -> None:
    async def play(world: World) -> None:
        world.here.reserve(["i"])
        world.lives("i", answers=False)
        arrival = asyncio.ensure_future(world.here.created("i", world.here.get("i")))
        await steps(world, 2)
        assert arrival.done()
        assert not world.here.is_running("i")
        world.answering.add("i")
        await world.settle()
        assert world.here.is_running("i")

    run(play)


def test_a_cluster_that_cannot_be_asked_frees_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_LONGEST_PAUSE", 0.02)

    async def play(world: World) -> None:
        world.listings = [RuntimeError("no answer") for _ in range(20)]
        world.lives("i", answers=False)
        doubted(world)
        await steps(world, 22)
        assert not world.listings
        assert "i" in world.here
        world.named.clear()
        await world.settle()
        assert "i" not in world.here

    run(play)


def test_one_that_is_stopping_and_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_STOP_SECONDS", 0.1)

    async def play(world: World) -> None:
        world.lives("i", answers=False)
        doubted(world)
        await world.settle()
        assert world.ended == ["i"]
        assert world.vacated == ["i"]

    run(play)


def test_one_that_cannot_be_reached_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_STOP_SECONDS", 0.02)
    monkeypatch.setattr(actor_lifecycle, "_LONGEST_PAUSE", 0.02)

    async def play(world: World) -> None:
        world.lives("i")
        world.answers = [Unreachable("it is being restarted") for _ in range(10)]
        doubted(world)
        await world.settle()
        assert world.ended == []
        assert world.here.is_running("i")

    run(play)


def test_a_question_that_is_never_answered_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_ANSWER_SECONDS", 0.05)

    async def play(world: World) -> None:
        world.lives("i")
        world.answers = [asyncio.Event()]
        doubted(world)
        await world.settle()
        assert world.here.is_running("i")

    run(play)


def test_many_in_doubt_share_their_listings() -> None:
    async def play(world: World) -> None:
        names = [f"i{n}" for n in range(200)]
        world.list_seconds = 0.005
        world.lives(*names, answers=False)
        for name in names:
            doubted(world, name)
        await steps(world, 800)
        assert world.listed < 100
        world.named.clear()
        await world.settle()
        assert len(world.here) == 0

    run(play)


def test_one_that_exists_although_its_creation_failed_is_notified_once_that_is_known() -> None:
    async def play(world: World) -> None:
        world.here.reserve(["i"])
        process = world.here.get("i")
        assert process is not None
        world.lives("i")
        await world.here.suspect("i", process)
        assert world.here.running() == ["i"]
        assert len(world.notified) == 2

    run(play)


def test_only_those_that_passivate_are_counted_as_stopping() -> None:
    async def play(world: World) -> None:
        world.lives("leaves", answers=False)
        world.lives("cannot be reached")
        world.answers = [Unreachable("no")]
        world.here.suspect("cannot be reached", running(world, "cannot be reached"))
        await steps(world, 1)
        assert world.here.stopping == 0
        passivates = asyncio.ensure_future(world.here.refused("leaves", running(world, "leaves")))
        await steps(world, 2)
        assert world.here.stopping == 1
        world.named.clear()
        await passivates
        await world.settle()
        assert world.here.stopping == 0

    run(play)


def test_nobody_waits_for_ever_for_one_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_ANSWER_SECONDS", 0.02)
    monkeypatch.setattr(actor_lifecycle, "_REACH_SECONDS", 0.05)

    async def play(world: World) -> None:
        world.lives("i")
        world.answers = [asyncio.Event() for _ in range(100)]
        process = running(world)
        await asyncio.wait_for(world.here.notify("i", process, ["i"]), 5)
        assert not world.here.is_running("i")
        world.answers.clear()
        await world.settle()
        assert world.here.is_running("i")

    run(play)


def test_one_whose_name_was_not_listed_is_asked() -> None:
    async def play(world: World) -> None:
        world.lives("i")
        for name in ("i", "j"):
            running(world, name)
        for name in ("i", "j", "unknown"):
            world.here.missing(name)
        await world.settle()
        assert world.here.running() == ["i"]

    run(play)


def test_every_state_has_a_transition_for_what_can_become_known_of_it() -> None:
    assert set(TRANSITIONS) == set(ActorState)
    for state, by_event in TRANSITIONS.items():
        assert by_event[ActorEvent.ACCEPTED] is ActorState.RUNNING
        assert by_event[ActorEvent.REFUSED] is ActorState.STOPPING
        assert by_event[ActorEvent.DOUBTED] is (
            ActorState.STOPPING if state is ActorState.STOPPING else ActorState.SUSPECT
        )
