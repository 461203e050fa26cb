"""The timer queue: one heap of due times and one alarm for all instances of a host."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from durable_ray.actors.clock import Alarm, Clock
from durable_ray.actors.store.records import is_queued

#: So many outdated entries are not worth removing.
_FEW = 64


class TimerQueue:
    """Calls `on_due(instance_ids)` for all instances that are due. The callee checks: an entry may be outdated.

    One entry for each instance counts, its earliest, so the heap is about as long as there are instances that wait, however
    often each was re-armed.
    """

    def __init__(self, clock: Clock, on_due: Callable[[list[str]], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._heap: list[tuple[int, str]] = []
        #: The entry that counts, by instance; all others are outdated.
        self._earliest: dict[str, int] = {}
        self._alarm: Alarm | None = None
        self._alarm_at = 0

    @property
    def next(self) -> int | None:
        """The earliest due time (µs)."""
        return self._heap[0][0] if self._heap else None

    def add(self, at: int, instance_id: str) -> None:
        """`instance_id` is due at `at` (µs); one that is queued by a limit never is by time alone."""
        if is_queued(at) or self._earliest.get(instance_id, at + 1) <= at:
            return
        self._earliest[instance_id] = at
        heapq.heappush(self._heap, (at, instance_id))
        self._sweep()
        self._arm()

    def discard(self, instance_id: str) -> None:
        """`instance_id` has ended: time does not concern it any more."""
        if self._earliest.pop(instance_id, None) is not None:
            self._sweep()

    def close(self) -> None:
        """Cancel the alarm and forget all entries."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._heap.clear()
        self._earliest.clear()

    def _sweep(self) -> None:
        """Remove the outdated entries once they are more than the others."""
        if len(self._heap) > 2 * len(self._earliest) + _FEW:
            self._heap = [(at, instance_id) for instance_id, at in self._earliest.items()]
            heapq.heapify(self._heap)

    def _arm(self) -> None:
        if not self._heap:
            return
        at = self._heap[0][0]
        if self._alarm is not None:
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._clock.wake(at, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        now = self._clock.now()
        due: dict[str, None] = {}
        while self._heap and self._heap[0][0] <= now:
            at, instance_id = heapq.heappop(self._heap)
            if self._earliest.get(instance_id) == at:
                del self._earliest[instance_id]
                due[instance_id] = None
        if due:
            self._on_due(list(due))
        self._arm()
