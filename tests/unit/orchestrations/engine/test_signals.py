"""Events and waiters meet in order, name by name, without regard to case."""

from __future__ import annotations

from typing import Any

from durable_ray.orchestrations.engine.signals import Signals
from durable_ray.orchestrations.engine.tasks import EventTask
from durable_ray.orchestrations.engine.work import Work
from durable_ray.orchestrations.history.events import EventRaised
from tests.laws.world import JsonCodec


def waiter(name: str) -> EventTask:
    work: Any = Work("i", JsonCodec(), lambda _: None)
    return EventTask(work, work.loop, 0, name)


def test_kept_events_are_taken_oldest_first_by_name() -> None:
    signals = Signals()
    first, other, second = EventRaised("A", "1"), EventRaised("B"), EventRaised("a", "2")
    assert [signals.arrive(event) for event in (first, other, second)] == [None] * 3
    assert signals.unconsumed() == [first, other, second]
    assert [signals.take("a"), signals.take("A"), signals.take("a")] == [first, second, None]
    assert signals.unconsumed() == [other]


def test_waiters_are_served_in_turn_and_forgotten_ones_not_at_all() -> None:
    signals, tasks = Signals(), [waiter("STRASSE"), waiter("straße"), waiter("Strasse")]
    for task in tasks:
        signals.wait(task)
    signals.forget(tasks[1])
    signals.forget(tasks[1])
    served = [signals.arrive(EventRaised("Straße")) for _ in range(3)]
    assert served[0] is tasks[0]
    assert served[1] is tasks[2]
    assert served[2] is None


def test_a_discarding_event_is_served_but_never_kept() -> None:
    signals, task = Signals(), waiter("e")
    assert signals.arrive(EventRaised("e", discard=True)) is None
    assert signals.unconsumed() == []
    signals.wait(task)
    assert signals.arrive(EventRaised("e", discard=True)) is task


def test_a_burst_costs_the_same_per_event() -> None:
    signals = Signals()
    burst = [EventRaised("e", str(n)) for n in range(5000)]
    for event in burst:
        signals.arrive(event)
    assert [signals.take("e") for _ in burst] == burst
