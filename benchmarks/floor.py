"""Raw Ray: the same shapes with plain actors or tasks. Nothing is stored; call for call nothing on Ray is cheaper.

An actor call per activity (`Ray actors`) or a task per activity (`Ray tasks`), awaited by one warm async actor.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from benchmarks.contender import CITIES, Contender, Skip


class _Activity:
    def say(self, city: str) -> str:
        return f"Hello {city}!"

    def same(self, number: int) -> int:
        return number


def _say(city: str) -> str:
    return f"Hello {city}!"


def _same(number: int) -> int:
    return number


class _Orchestrator:
    """The async actor that runs the shapes."""

    def __init__(self, activities: list[Any], folder: str) -> None:
        self._activities = activities
        self._say, self._same = ray.remote(_say), ray.remote(_same)
        self._events: dict[str, asyncio.Queue[int]] = {}
        self._database = sqlite3.connect(f"{folder}/floor-{uuid.uuid4().hex}.db", isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")

    async def ping(self) -> None:
        return None

    async def commit(self) -> None:
        """One transaction of four small rows, on disk when this answers."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO rows VALUES (?, ?)", [(uuid.uuid4().hex, "x" * 100) for _ in range(4)])
        self._database.execute("COMMIT")

    async def hello(self, _: Any, tasks: bool) -> list[str]:
        say = self._say.remote if tasks else self._activities[0].say.remote
        return [await say(city) for city in CITIES]

    async def fan(self, n: int, tasks: bool) -> int:
        same = [self._same] if tasks else [activity.same for activity in self._activities]
        return sum(await asyncio.gather(*[same[number % len(same)].remote(number) for number in range(n)]))

    async def long(self, n: int, tasks: bool) -> int:
        same = self._same.remote if tasks else self._activities[0].same.remote
        for number in range(n):
            await same(number)
        return n

    async def event(self, key: str, _: bool) -> int:
        return await self._events.setdefault(key, asyncio.Queue()).get()

    async def count(self, key: tuple[str, int], _: bool) -> int:
        queue = self._events.setdefault(key[0], asyncio.Queue())
        return sum([await queue.get() for _ in range(key[1])])

    async def go(self, key: str, value: int) -> None:
        self._events.setdefault(key, asyncio.Queue()).put_nowait(value)

    async def sleep1(self, _: Any, tasks: bool) -> int:
        await asyncio.sleep(1)
        return 1

    async def empty(self, _: Any, tasks: bool) -> None:
        return None


class RayFloor(Contender):
    """Ray with nothing on top."""

    durability = "nothing is stored"

    def __init__(self, folder: Path, *, tasks: bool) -> None:
        self.name = "Ray tasks" if tasks else "Ray actors"
        self._folder = folder
        self._tasks = tasks
        self._made: list[Any] = []

    def start(self) -> None:
        activity = ray.remote(num_cpus=0)(_Activity)
        self._activities = [activity.remote() for _ in range(4)]
        orchestrator = ray.remote(num_cpus=0, max_concurrency=2000)(_Orchestrator)
        self._orchestrator = orchestrator.remote(self._activities, str(self._folder))
        ray.get([self._orchestrator.ping.remote(), *(one.same.remote(1) for one in self._activities)])
        if self._tasks:
            ray.get(self._orchestrator.fan.remote(200, True))

    def stop(self) -> None:
        for actor in (self._orchestrator, *self._activities, *self._made):
            ray.kill(actor)

    def start_many(self, shape: str, n: int, arg: Any = None) -> list[Any]:
        if self._tasks and shape not in ("hello", "fan", "long"):
            raise Skip("it has no activities: see Ray actors")
        method = getattr(self._orchestrator, shape)
        handles = []
        for _ in range(n):
            key = uuid.uuid4().hex
            given = {"event": key, "count": (key, arg)}.get(shape, arg)
            handles.append((key, method.remote(given, self._tasks)))
        return handles

    def wait_many(self, handles: Sequence[Any]) -> list[Any]:
        return list(ray.get([ref for _, ref in handles]))

    def gather(self, shape: str, n: int) -> list[Any]:
        async def all_of_them() -> list[Any]:
            return list(await asyncio.gather(*[ref for _, ref in self.start_many(shape, n)]))

        return asyncio.run(all_of_them())

    def send_many(self, handles: Sequence[Any], value: Any) -> None:
        ray.get([self._orchestrator.go.remote(key, value) for key, _ in handles])

    def send_burst(self, handle: Any, n: int) -> None:
        ray.get([self._orchestrator.go.remote(handle[0], 1) for _ in range(n)])

    def commits(self, n: int) -> float:
        began = time.perf_counter()
        for _ in range(n):
            ray.get(self._orchestrator.commit.remote())
        return n / (time.perf_counter() - began)

    def dedicated(self) -> None:
        actor = ray.remote(num_cpus=0)(_Activity).options(name=uuid.uuid4().hex, lifetime="detached").remote()
        ray.get(actor.same.remote(1))
        self._made.append(actor)
