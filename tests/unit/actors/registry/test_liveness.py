"""Who does not answer is noticed: one that is stopped soon, one that may be busy late, and whoever is gone is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from durable_ray.actors.cluster import processes
from durable_ray.actors.cluster.handles import REGISTRY
from durable_ray.actors.cluster.processes import hung_after
from durable_ray.actors.cluster.ray_actors import host_actor
from durable_ray.actors.cluster.ray_hub import HubInfo
from durable_ray.actors.registry import liveness
from durable_ray.actors.registry.liveness import Detector, RegistryWatch, send_heartbeats
from durable_ray.actors.settings import HubSettings
from tests.unit.actors.hosting import until


class Machine:
    """Processes that answer, are stopped, or hang; and what was done to them."""

    def __init__(self, *names: str) -> None:
        self.there = set(names)
        self.stopped: set[str] = set()
        self.hung: set[str] = set()
        self.ended: list[str] = []
        self.heard: list[tuple[str, float]] = []

    async def answers(self, name: str, within: float) -> bool:
        if name in self.stopped | self.hung:
            await asyncio.sleep(3600)
        self.heard.append((name, within))
        return name in self.there

    async def end_stopped(self, name: str) -> bool:
        if name not in self.stopped:
            return False
        self.stopped.discard(name)
        self.ended.append(name)
        return True

    async def end_silent(self, name: str) -> None:
        self.hung.discard(name)
        self.ended.append(name)


class Time:
    now = 100.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    told = Time()
    monkeypatch.setattr(liveness, "monotonic", lambda: told.now)
    monkeypatch.setattr(liveness, "_ANSWER_SECONDS", 0.01)
    return told


async def look(detector: Detector, time: Time, name: str, seconds: list[float]) -> list[bool | None]:
    found = []
    for pause in seconds:
        found.append(await detector.check(name))
        time.now += pause
    return found


async def test_one_that_is_stopped_is_replaced_after_seconds(time: Time) -> None:
    machine = Machine("h")
    detector = Detector(machine, lambda name: 60)
    machine.stopped.add("h")
    assert await look(detector, time, "h", [5, 5]) == [None, None]
    assert machine.ended == [], "a moment is nothing"
    assert await look(detector, time, "h", [5, 5]) == [None, True]
    assert machine.ended == ["h"]


async def test_one_that_is_silent_but_not_stopped_is_given_time(time: Time) -> None:
    machine = Machine("h", "w")
    detector = Detector(machine, {"h": 60.0, "w": None}.get)
    machine.hung.update(("h", "w"))
    await asyncio.gather(*(detector.check(name) for name in ("h", "w") for _ in range(1)))
    time.now += 59
    await asyncio.gather(*(detector.check(name) for name in ("h", "w")))
    assert machine.ended == []
    time.now += 2
    await asyncio.gather(*(detector.check(name) for name in ("h", "w")))
    assert machine.ended == ["h"], "a worker runs what it was given"


async def test_an_answer_ends_all_suspicion_and_one_s_own_standstill_raises_none(time: Time) -> None:
    machine = Machine("h")
    detector = Detector(machine, lambda name: 60)
    machine.hung.add("h")
    await look(detector, time, "h", [50])
    machine.hung.clear()
    assert await look(detector, time, "h", [50]) == [True]
    machine.hung.add("h")
    await look(detector, time, "h", [3600, 5])  # this process was frozen itself
    assert machine.ended == []


async def test_every_process_is_sent_heartbeats_and_a_silent_one_holds_up_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_EVERY", 0.02)
    machine = Machine("a", "b", "c")
    machine.hung.add("b")
    on = [True]

    async def names() -> list[str]:
        return ["a", "b", "c"]

    beating = asyncio.create_task(send_heartbeats(Detector(machine, lambda name: None), names, lambda: on[0]))
    await until(lambda: len(machine.heard) >= 8)
    on[0] = False
    await asyncio.wait_for(beating, 10)
    assert {name for name, _ in machine.heard} == {"a", "c"}


async def test_of_many_processes_few_are_sent_a_heartbeat_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each hears for how long it will not hear the next."""
    monkeypatch.setattr(liveness, "_EVERY", 0.001)
    monkeypatch.setattr(liveness, "_A_SECOND", 1000)
    machine = Machine()
    many = [f"h{n}" for n in range(100)]

    async def names() -> list[str]:
        return many

    on = [True]
    beating = asyncio.create_task(send_heartbeats(Detector(machine, lambda name: None), names, lambda: on[0]))
    await until(lambda: len(machine.heard) >= 100)
    on[0] = False
    await asyncio.wait_for(beating, 10)
    assert machine.heard[0][1] == pytest.approx(0.1)


def watching(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> tuple[RegistryWatch, list[str]]:
    monkeypatch.setattr(liveness, "_EVERY", 0.01)
    monkeypatch.setattr(liveness, "_SPREAD", 0.0)
    monkeypatch.setattr(liveness, "_AGAIN", 0.005)
    monkeypatch.setattr(liveness, "_ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(liveness, "_STOPPED_SECONDS", 0.02)
    made: list[str] = []

    async def make() -> None:
        if not made:
            made.append("failed")
            raise RuntimeError("not now")
        made.append("made")
        machine.there.add("registry")

    return RegistryWatch(Detector(machine, lambda name: 60), "registry", make), made


async def run(watch: RegistryWatch, done: Callable[[], Any]) -> None:
    task = asyncio.create_task(watch.run())
    await until(done)
    task.cancel()


async def test_a_host_that_hears_nothing_makes_a_registry_if_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, made = watching(Machine(), monkeypatch)
    await run(watch, lambda: made == ["failed", "made"])


async def test_a_registry_that_is_away_for_a_moment_is_not_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    watch, made = watching(machine, monkeypatch)
    answers = machine.answers

    async def then_there(name: str, within: float) -> bool:
        found = await answers(name, within)
        machine.there.add("registry")
        return found

    monkeypatch.setattr(machine, "answers", then_there)
    await run(watch, lambda: len(machine.heard) > 3)
    assert made == []


async def test_a_host_that_hears_nothing_has_a_stopped_registry_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine("registry")
    machine.stopped.add("registry")
    watch, made = watching(machine, monkeypatch)
    await run(watch, lambda: machine.ended == ["registry"])
    assert made == []


async def test_a_host_that_hears_heartbeats_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine("registry")
    watch, _ = watching(machine, monkeypatch)
    watch.heartbeat(3600)
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0.1)
    task.cancel()
    assert machine.heard == []


def test_a_worker_is_never_taken_for_hung_and_a_host_not_within_a_long_turn() -> None:
    hung = hung_after(300)
    assert (hung("worker-1"), hung("partition-0"), hung_after(1)("registry")) == (None, 600, processes._HUNG_SECONDS)


async def test_a_host_that_comes_back_sees_its_workers_without_asking_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be frozen, and is asked only to hire; where there are some, not even for that for long."""
    asked: list[str] = []

    async def there(hub: str) -> list[str]:
        return ["worker-1"]

    class Frozen:
        class workers:
            @staticmethod
            async def remote(create: bool) -> None:
                asked.append("registry")
                await asyncio.sleep(3600)

    def find(hub: str, name: str) -> Any:
        return Frozen if name == REGISTRY else object()

    monkeypatch.setattr(host_actor, "workers_of", there)
    monkeypatch.setattr(host_actor, "find", find)
    monkeypatch.setattr(host_actor, "_WORKER_SECONDS", 0.01)
    info = HubInfo("hub", "sqlite:///x", HubSettings().settled())
    assert [link.name for link in await host_actor.find_workers(info, False)] == ["worker-1"]
    assert asked == []
    assert [link.name for link in await host_actor.find_workers(info, True)] == ["worker-1"]
    assert asked == ["registry"]
