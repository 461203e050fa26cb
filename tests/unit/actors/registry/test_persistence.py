"""Opening is tried again until it succeeds, or can never succeed; whoever waits hears what is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from durable_ray.actors.registry import persistence
from durable_ray.actors.registry.persistence import RetriedOpening, StillOpening
from tests.unit.actors.hosting import until


class RawHub:
    """Opens after so many failures."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or ConnectionError("the server is starting")
        self.tries = 0

    async def open(self) -> str:
        self.tries += 1
        if self.tries <= self.failures:
            raise self.error
        return "open"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(persistence, "_LONGEST_PAUSE", 0.002)


def passes(error: Exception) -> bool:
    return not isinstance(error, ValueError)


async def test_it_opens_when_the_cause_has_passed_though_nobody_asks() -> None:
    raw_hub = RawHub(20)
    opening = RetriedOpening(raw_hub.open, passes, "the door")
    await until(opening.task.done)
    assert await opening.within(0) == "open"
    assert await opening.first() == "open"
    assert raw_hub.tries == 21


async def test_who_wants_a_quick_answer_is_told_the_first_failure_and_it_goes_on() -> None:
    gate = asyncio.Event()

    async def attempt() -> str:
        if not gate.is_set():
            raise ConnectionError("no such host")
        return "open"

    opening = RetriedOpening(attempt, passes, "the door")
    with pytest.raises(ConnectionError, match="no such host"):
        await opening.first()
    with pytest.raises(StillOpening, match="the door cannot be opened yet: no such host"):
        await opening.within(0.01)
    gate.set()
    assert await opening.within(10) == "open"


async def test_what_never_passes_is_final() -> None:
    raw_hub = RawHub(2, ValueError("another owns it"))
    opening = RetriedOpening(raw_hub.open, passes, "the door")
    calls: list[Callable[[], object]] = [opening.first, lambda: opening.within(10)]
    for ask in calls:
        with pytest.raises(ValueError, match="another owns it"):
            await ask()  # type: ignore[misc]
    assert raw_hub.tries == 1


async def test_pauses_grow_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(persistence, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(persistence, "_LONGEST_PAUSE", 2.0)
    monkeypatch.setattr(asyncio, "sleep", noted)
    assert await RetriedOpening(RawHub(7).open, passes, "the door").within(10) == "open"
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
