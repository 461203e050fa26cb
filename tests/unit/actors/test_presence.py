"""Presence: a place is taken until its name is free, whatever is heard of the process, and who is in doubt is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from durable_ray.actors import presence
from durable_ray.actors.placing import instance_of
from durable_ray.actors.presence import Presence


class World:
    """Two sets: whose name is taken, and who answers. Whatever the presence does is noted."""

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.answering: set[str] = set()
        self.nudged: list[str] = []
        self.vacated: list[str] = []
        self.reached: list[str] = []
        self.freed = 0
        self.trouble: list[Exception] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.here = Presence(self, self._vacate, self._freed, self.reached.extend, self._spawn)

    def lives(self, *names: str, answers: bool = True) -> None:
        self.named.update(names)
        if answers:
            self.answering.update(names)

    async def alive(self) -> set[str]:
        if self.trouble:
            raise self.trouble.pop()
        return set(self.named)

    async def nudge(self, host: str, instance_ids: Sequence[str]) -> bool:
        self.nudged.append(instance_of(host))
        return instance_of(host) in self.answering

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


def doubted(world: World, name: str = "i") -> None:
    world.here.find([name])
    world.here.doubt(name, world.here.get(name))


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
        doubted(world)
        for _ in range(3):
            world.here.doubt("i", world.here.get("i"))
        await steps(world, 2)
        world.named.clear()
        await world.settle()
        assert world.vacated == ["i"]

    run(play)


def test_a_doubt_about_a_predecessor_does_not_touch_its_successor() -> None:
    async def play(world: World) -> None:
        world.lives("i")
        world.here.find(["i"])
        predecessor = world.here.get("i")
        world.here.find(["i"])
        world.here.doubt("i", predecessor)
        await world.settle()
        assert world.here.holds("i")
        assert world.nudged == []

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


def test_a_cluster_that_cannot_be_asked_frees_no_place() -> None:
    async def play(world: World) -> None:
        world.trouble = [RuntimeError("no answer"), RuntimeError("no answer")]
        world.lives("i", answers=False)
        doubted(world)
        await steps(world, 3)
        assert not world.trouble
        assert "i" in world.here
        world.named.clear()
        await world.settle()
        assert "i" not in world.here

    run(play)


def test_one_that_neither_answers_nor_ends_keeps_its_place_for_so_long_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "_LEAVE_SECONDS", 0.1)

    async def play(world: World) -> None:
        world.lives("i", answers=False)
        doubted(world)
        await world.settle()
        assert "i" not in world.here
        assert world.freed == 1

    run(play)


def test_one_whose_name_was_not_seen_is_looked_for_again() -> None:
    async def play(world: World) -> None:
        world.lives("i")
        world.here.find(["i", "j"])
        for name in ("i", "j", "unknown"):
            world.here.check(name)
        await world.settle()
        assert world.here.ready() == ["i"]

    run(play)
