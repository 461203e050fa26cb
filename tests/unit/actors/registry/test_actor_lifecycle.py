"""Presence: a place is taken until its name is free, whatever is heard of the process, and who is in doubt is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from durable_ray.actors.instances.placement import instance_of
from durable_ray.actors.registry import actor_lifecycle
from durable_ray.actors.registry.actor_lifecycle import ActorLifecycle, Process, Unreachable


class World:
    """Two sets: whose name is taken, and who answers. Whatever the presence does is noted."""

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.answering: set[str] = set()
        self.nudged: list[str] = []
        self.vacated: list[str] = []
        self.reached: list[str] = []
        self.freed = 0
        #: In this order: what is raised, or waited for, in place of the next looks and nudges.
        self.looks: list[Exception] = []
        self.words: list[Exception | asyncio.Event] = []
        self.looked, self.look_seconds = 0, 0.0
        self.ended: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.here = ActorLifecycle(self, self._vacate, self._freed, self.reached.extend, self._spawn)

    def lives(self, *names: str, answers: bool = True) -> None:
        self.named.update(names)
        if answers:
            self.answering.update(names)

    async def alive(self) -> set[str]:
        self.looked += 1
        await asyncio.sleep(self.look_seconds)
        if self.looks:
            raise self.looks.pop(0)
        return set(self.named)

    async def notify(self, host: str, instance_ids: Sequence[str]) -> bool:
        self.nudged.append(instance_of(host))
        answer = instance_of(host) in self.answering
        if self.words:
            word = self.words.pop(0)
            if isinstance(word, Exception):
                raise word
            await word.wait()
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
    target = len(world.nudged) + wanted
    while len(world.nudged) < target:
        await asyncio.sleep(0.001)


def held(world: World, name: str = "i") -> Process:
    """One that answers, or did."""
    world.here.expect([name])
    process = world.here.get(name)
    assert process is not None
    process.there = process.answers = True
    return process


def doubted(world: World, name: str = "i") -> None:
    world.here.doubt(name, held(world, name))


def test_a_place_is_taken_until_the_name_is_free() -> None:
    async def play(world: World) -> None:
        world.lives("i", answers=False)
        doubted(world)
        await steps(world, 3)
        assert "i" in world.here
        assert not world.here.holds("i")
        assert not world.here.settled
        assert (world.vacated, world.freed) == ([], 0)
        world.named.clear()
        await world.settle()
        assert "i" not in world.here
        assert (world.vacated, world.freed) == (["i"], 1)

    run(play)


def test_one_that_stays_or_was_restarted_is_told_of_its_mail_and_found_again() -> None:
    async def play(world: World) -> None:
        world.lives("i", answers=False)
        doubted(world)
        await steps(world, 2)
        world.answering.add("i")
        await world.settle()
        assert world.here.holds("i")
        assert world.reached == ["i"]
        assert world.vacated == []

    run(play)


def test_doubts_about_one_process_are_cleared_up_once() -> None:
    async def play(world: World) -> None:
        world.lives("i", answers=False)
        process = held(world)
        for _ in range(4):
            world.here.doubt("i", process)
        await steps(world, 2)
        world.named.clear()
        await world.settle()
        assert (world.vacated, world.freed) == (["i"], 1)

    run(play)


def test_a_doubt_about_a_predecessor_does_not_touch_its_successor() -> None:
    async def play(world: World) -> None:
        world.lives("i")
        predecessor = held(world)
        held(world)
        await world.here.doubt("i", predecessor)
        assert world.here.holds("i")
        assert world.nudged == []

    run(play)


def test_what_it_said_before_its_goodbye_was_heard_does_not_count() -> None:
    """It was told and said so; while its answer travels, its goodbye comes, and its name is free."""

    async def play(world: World) -> None:
        world.lives("i")
        on_its_way = asyncio.Event()
        world.words = [on_its_way]
        process = held(world)
        world.here.doubt("i", process)
        await steps(world, 1)
        world.here.doubt("i", process)
        world.named.clear()
        on_its_way.set()
        await world.settle()
        assert "i" not in world.here
        assert world.freed == 1

    run(play)


def test_mail_for_one_that_cannot_be_reached_waits_until_it_is_told_or_away() -> None:
    async def play(world: World) -> None:
        world.lives("i")
        world.words = [Unreachable("no"), Unreachable("no"), Unreachable("no")]
        process = held(world)
        await world.here.tell("i", process, ["i"])
        assert len(world.nudged) == 4
        assert world.here.holds("i")
        world.words = [Unreachable("no")]
        world.named.clear()
        await world.here.tell("i", process, ["i"])
        assert "i" not in world.here

    run(play)


@pytest.mark.parametrize("stays", [True, False])
def test_a_stranger_counts_and_is_asked(stays: bool) -> None:
    async def play(world: World) -> None:
        if stays:
            world.lives("s")
        world.here.stranger("s")
        assert len(world.here) == 1
        assert not world.here.holds("s")
        await world.settle()
        assert world.here.holds("s") == stays
        assert len(world.here) == stays

    run(play)


def test_a_new_one_is_found_only_when_it_knows_of_its_mail() -> None:
    async def play(world: World) -> None:
        world.here.expect(["i"])
        world.lives("i", answers=False)
        arrival = asyncio.ensure_future(world.here.arrived("i", world.here.get("i")))
        await steps(world, 2)
        assert arrival.done()
        assert not world.here.holds("i")
        world.answering.add("i")
        await world.settle()
        assert world.here.holds("i")

    run(play)


def test_a_cluster_that_cannot_be_asked_frees_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_LATE", 0.02)

    async def play(world: World) -> None:
        world.looks = [RuntimeError("no answer") for _ in range(20)]
        world.lives("i", answers=False)
        doubted(world)
        await steps(world, 22)
        assert not world.looks
        assert "i" in world.here
        world.named.clear()
        await world.settle()
        assert "i" not in world.here

    run(play)


def test_one_that_leaves_and_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_LEAVE_SECONDS", 0.1)

    async def play(world: World) -> None:
        world.lives("i", answers=False)
        doubted(world)
        await world.settle()
        assert world.ended == ["i"]
        assert world.vacated == ["i"]

    run(play)


def test_one_that_cannot_be_reached_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_LEAVE_SECONDS", 0.02)
    monkeypatch.setattr(actor_lifecycle, "_LATE", 0.02)

    async def play(world: World) -> None:
        world.lives("i")
        world.words = [Unreachable("it is being restarted") for _ in range(10)]
        doubted(world)
        await world.settle()
        assert world.ended == []
        assert world.here.holds("i")

    run(play)


def test_a_question_that_is_never_answered_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_ANSWER_SECONDS", 0.05)

    async def play(world: World) -> None:
        world.lives("i")
        world.words = [asyncio.Event()]
        doubted(world)
        await world.settle()
        assert world.here.holds("i")

    run(play)


def test_many_in_doubt_share_their_looks() -> None:
    async def play(world: World) -> None:
        names = [f"i{n}" for n in range(200)]
        world.look_seconds = 0.005
        world.lives(*names, answers=False)
        for name in names:
            doubted(world, name)
        await steps(world, 800)
        assert world.looked < 100
        world.named.clear()
        await world.settle()
        assert len(world.here) == 0

    run(play)


def test_one_that_came_although_it_could_not_be_made_is_told_once_it_is_known_to_be_there() -> None:
    async def play(world: World) -> None:
        world.here.expect(["i"])
        process = world.here.get("i")
        assert process is not None
        world.lives("i")
        await world.here.doubt("i", process)
        assert world.here.ready() == ["i"]
        assert len(world.nudged) == 2

    run(play)


def test_only_those_that_leave_are_counted_as_leaving() -> None:
    async def play(world: World) -> None:
        world.lives("leaves", answers=False)
        world.lives("cannot be reached")
        world.words = [Unreachable("no")]
        world.here.doubt("cannot be reached", held(world, "cannot be reached"))
        await steps(world, 1)
        assert world.here.leaving == 0
        goodbye = asyncio.ensure_future(world.here.goodbye("leaves", held(world, "leaves")))
        await steps(world, 2)
        assert world.here.leaving == 1
        world.named.clear()
        await goodbye
        await world.settle()
        assert world.here.leaving == 0

    run(play)


def test_nobody_waits_for_ever_for_one_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_lifecycle, "_ANSWER_SECONDS", 0.02)
    monkeypatch.setattr(actor_lifecycle, "_REACH_SECONDS", 0.05)

    async def play(world: World) -> None:
        world.lives("i")
        world.words = [asyncio.Event() for _ in range(100)]
        process = held(world)
        await asyncio.wait_for(world.here.tell("i", process, ["i"]), 5)
        assert not world.here.holds("i")
        world.words.clear()
        await world.settle()
        assert world.here.holds("i")

    run(play)


def test_one_whose_name_was_not_seen_is_looked_for_again() -> None:
    async def play(world: World) -> None:
        world.lives("i")
        for name in ("i", "j"):
            held(world, name)
        for name in ("i", "j", "unknown"):
            world.here.missed(name)
        await world.settle()
        assert world.here.ready() == ["i"]

    run(play)
