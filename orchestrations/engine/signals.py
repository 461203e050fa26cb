"""Delivery of external events to orchestrator code: first come, first served, in both directions.

Events that no task waits for yet are buffered in the order they arrived; waiters are served in the order they
began to wait. Names are matched without regard to case, and keep the spelling they were sent with.
"""

from __future__ import annotations

from collections import deque

from durable_ray.orchestrations.engine.tasks import EventTask
from durable_ray.orchestrations.history.events import EventRaised


class Signals:
    """The unconsumed events and the waiters of one execution; a name only ever has one of the two."""

    __slots__ = ("_arrivals", "_arrived", "_waiting")

    def __init__(self) -> None:
        # A list, not a deque: an empty deque weighs more than all the rest of a waiting instance's signals.
        self._waiting: dict[str, list[EventTask]] = {}
        self._arrived: dict[str, deque[tuple[int, EventRaised]]] = {}
        self._arrivals = 0

    def take(self, name: str) -> EventRaised | None:
        """The oldest unconsumed event of that name, which is now consumed; or None."""
        key = name.casefold()
        arrived = self._arrived.get(key)
        if arrived is None:
            return None
        _, event = arrived.popleft()
        if not arrived:
            del self._arrived[key]
        return event

    def wait(self, task: EventTask) -> None:
        """Serve `task` with the next event of its name. A cancelled one must be forgotten."""
        self._waiting.setdefault(task.name.casefold(), []).append(task)

    def forget(self, task: EventTask) -> None:
        """`task` waits no longer."""
        key = task.name.casefold()
        waiting = self._waiting.get(key)
        if waiting is not None and task in waiting:
            waiting.remove(task)
            if not waiting:
                del self._waiting[key]

    def forget_all(self) -> None:
        """Stop delivery: from here on events are kept for the execution that follows."""
        self._waiting.clear()

    def arrive(self, event: EventRaised) -> EventTask | None:
        """The task that gets `event`; None if it is kept for later (or dropped, if its sender asked so)."""
        key = event.name.casefold()
        waiting = self._waiting.get(key)
        if waiting is not None:
            task = waiting.pop(0)
            if not waiting:
                del self._waiting[key]
            return task
        if not event.discard:
            self._arrivals += 1
            self._arrived.setdefault(key, deque()).append((self._arrivals, event))
        return None

    def awaited(self) -> list[EventTask]:
        """The tasks that wait for an event, by name in the order in which they began."""
        return [task for tasks in self._waiting.values() for task in tasks]

    def unconsumed(self) -> list[EventRaised]:
        """The events that were not consumed, in the order they arrived."""
        kept = [entry for arrived in self._arrived.values() for entry in arrived]
        return [event for _, event in sorted(kept, key=lambda entry: entry[0])]
