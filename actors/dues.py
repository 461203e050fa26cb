"""When time alone gives an instance something to do: one heap and one alarm for all instances of a host."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from durable_ray.actors.clock import Alarm, Clock
from durable_ray.actors.held import is_held


class Dues:
    """Rings `ring(instance_ids)` for all instances that have come due. An entry may be outdated: the rung one looks."""

    def __init__(self, clock: Clock, ring: Callable[[list[str]], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._heap: list[tuple[int, str]] = []
        self._alarm: Alarm | None = None
        self._alarm_at = 0

    @property
    def next(self) -> int | None:
        """The earliest due time (µs)."""
        return self._heap[0][0] if self._heap else None

    def add(self, at: int, instance_id: str) -> None:
        """`instance_id` comes due at `at` (µs); one that is held does not by time alone."""
        if is_held(at):
            return
        heapq.heappush(self._heap, (at, instance_id))
        self._arm()

    def close(self) -> None:
        """Ring no more."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._heap.clear()

    def _arm(self) -> None:
        if not self._heap:
            return
        at = self._heap[0][0]
        if self._alarm is not None:
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._clock.wake(at, self._look)

    def _look(self) -> None:
        self._alarm = None
        now = self._clock.now()
        due: dict[str, None] = {}
        while self._heap and self._heap[0][0] <= now:
            due[heapq.heappop(self._heap)[1]] = None
        if due:
            self._ring(list(due))
        self._arm()
