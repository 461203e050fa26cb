"""The contract of commits made on the event loop: small ones of a quick store, grouped and in order like all others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from durable_ray.actors.store import committer as committer_file
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Committed, StoreError
from durable_ray.actors.store.records import Fence


class Store:
    """Remembers which thread committed what."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, list[Any]]] = []
        self.fails = False

    def commit(self, fence: Fence | None, writes: Sequence[Any]) -> Committed:
        self.commits.append((threading.get_ident(), list(writes)))
        if self.fails:
            raise StoreError("full")
        return Committed(tuple(f"did {write}" for write in writes), 0)  # type: ignore[arg-type]


async def warm(store: Store) -> Any:
    committer: Any = Committer(store, Fence("h", 1, 1), asyncio.get_running_loop(), lambda revision: None)  # type: ignore[arg-type]
    committer.inline = True
    for number in range(40):
        await committer.write([number])
    store.commits.clear()
    return committer


async def test_a_small_commit_is_made_on_the_loop_once_commits_are_known_to_be_quick() -> None:
    store = Store()
    committer = await warm(store)
    assert await committer.write(["a"]) == ("did a",)
    assert [thread for thread, _ in store.commits] == [threading.get_ident()]
    committer.close()


async def test_what_is_submitted_in_one_step_is_one_commit_in_its_order() -> None:
    store = Store()
    committer = await warm(store)
    answers = await asyncio.gather(*[committer.write([name]) for name in "abc"])
    assert answers == [("did a",), ("did b",), ("did c",)]
    assert [writes for _, writes in store.commits] == [["a", "b", "c"]]
    committer.close()


async def test_a_large_commit_goes_to_the_thread_and_a_small_one_after_it_waits_its_turn() -> None:
    store = Store()
    committer = await warm(store)
    large = committer.write(list(range(100)))
    await asyncio.sleep(0)
    small = committer.write(["after"])
    await asyncio.gather(large, small)
    assert [write for _, writes in store.commits for write in writes] == [*range(100), "after"]
    assert threading.get_ident() not in [thread for thread, _ in store.commits]
    committer.close()


async def test_an_error_is_told_and_nothing_waits_any_more() -> None:
    store = Store()
    committer = await warm(store)
    store.fails = True
    outcome = await asyncio.gather(committer.write(["a"]), return_exceptions=True)
    assert isinstance(outcome[0], StoreError)
    assert committer.waiting == 0
    committer.close()


async def test_closing_finishes_what_was_submitted_in_the_same_step() -> None:
    store = Store()
    committer = await warm(store)
    last = committer.write(["last"])
    committer.close()
    assert await last == ("did last",)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traffic is traffic on a slow machine too."""
    monkeypatch.setattr(committer_file, "_WITHIN", 60.0)
    monkeypatch.setattr(committer_file, "_LEAST_DELAY", 0.2)


async def several_in_turns(committer: Any, heard: list[str]) -> None:
    """Traffic: three instances, each committing alone."""
    for name in ("a", "b", "c", "a"):
        committer.submit([name], lambda outcome, name=name: heard.append(name), whose=name)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.mark.usefixtures("unhurried")
async def test_in_traffic_turns_that_nobody_waits_for_share_a_commit() -> None:
    store, heard = Store(), []  # type: ignore[var-annotated]
    committer = await warm(store)
    await several_in_turns(committer, heard)
    store.commits.clear()
    for name in ("b", "c", "a"):
        committer.submit([name], lambda outcome, name=name: heard.append(name), whose=name, flush=False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert store.commits == []
    while len(heard) < 7:
        await asyncio.sleep(0.001)
    assert [writes for _, writes in store.commits] == [["b", "c", "a"]]
    committer.close()


@pytest.mark.usefixtures("unhurried")
async def test_who_is_in_a_hurry_takes_along_what_was_held_back_and_in_order() -> None:
    store, heard = Store(), []  # type: ignore[var-annotated]
    committer = await warm(store)
    await several_in_turns(committer, heard)
    store.commits.clear()
    committer.submit(["turn"], lambda outcome: heard.append("turn"), whose="b", flush=False)
    await asyncio.sleep(0)
    committer.submit(["start"], lambda outcome: heard.append("start"), whose="d")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [writes for _, writes in store.commits] == [["turn", "start"]]
    assert heard[-2:] == ["turn", "start"]
    committer.close()


async def test_an_instance_by_itself_waits_for_nobody() -> None:
    store, heard = Store(), []  # type: ignore[var-annotated]
    committer = await warm(store)
    for number in range(10):
        committer.submit([number], lambda outcome: heard.append("turn"), whose="alone", flush=False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(heard) == number + 1
    committer.close()


@pytest.mark.usefixtures("unhurried")
async def test_closing_finishes_what_was_held_back() -> None:
    store, heard = Store(), []  # type: ignore[var-annotated]
    committer = await warm(store)
    await several_in_turns(committer, heard)
    committer.submit(["held"], lambda outcome: heard.append("held"), whose="b", flush=False)
    committer.close()
    await asyncio.sleep(0.01)
    assert heard[-1] == "held"
    assert [writes for _, writes in store.commits].count(["held"]) == 1


class _Timer:
    """A timer of an event loop that has its own kind, as uvloop's."""

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.cancel = timer.cancel


@pytest.mark.usefixtures("unhurried")
async def test_who_is_in_a_hurry_is_so_on_any_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    later = loop.call_later
    store, heard = Store(), []  # type: ignore[var-annotated]
    committer = await warm(store)
    await several_in_turns(committer, heard)
    store.commits.clear()
    monkeypatch.setattr(loop, "call_later", lambda *args: _Timer(later(*args)))
    committer.submit(["turn"], lambda outcome: heard.append("turn"), whose="b", flush=False)
    committer.submit(["start"], lambda outcome: heard.append("start"), whose="d")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [writes for _, writes in store.commits] == [["turn", "start"]]
    committer.close()


async def test_who_fails_on_hearing_of_a_commit_keeps_no_neighbour_from_hearing_of_it() -> None:
    store, heard = Store(), []  # type: ignore[var-annotated]
    committer = await warm(store)

    def fail(outcome: Any) -> None:
        raise ValueError("what follows")

    for store.fails in (False, True):
        committer.submit(["a"], fail)
        committer.submit(["b"], heard.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert [type(outcome) for outcome in heard] == [tuple, StoreError]
    assert committer.waiting == 0
    committer.close()


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(committer_file, "time", clock)
    return clock


def starts(traffic: Any, clock: Clock, gap: float, times: int = 60) -> None:
    """One start after another, each of another instance."""
    for number in range(times):
        clock.now += gap
        traffic.delay(f"start-{number}", True)


def test_a_turn_among_frequent_starts_waits_for_the_next_one(clock: Clock) -> None:
    traffic = committer_file._Traffic()
    starts(traffic, clock, 0.0015)
    clock.now += 0.0005
    assert traffic.delay("turn", False) == pytest.approx(0.0025, abs=1e-4)
    clock.now += 0.0025
    assert traffic.delay("other", False) == committer_file._LEAST_DELAY  # the next start is late: it may not come


def test_a_turn_among_rare_starts_waits_no_longer_than_for_other_turns(clock: Clock) -> None:
    traffic = committer_file._Traffic()
    starts(traffic, clock, 0.005)
    assert traffic.delay("turn", False) == committer_file._LEAST_DELAY


def test_no_turn_waits_where_one_instance_commits_by_itself(clock: Clock) -> None:
    traffic = committer_file._Traffic()
    starts(traffic, clock, 0.001)
    for _ in range(3):
        clock.now += 0.0005
        waits = traffic.delay("alone", False)
    assert waits == 0.0
