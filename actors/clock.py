"""The only module that reads the clock. All others take a `Clock`, so that tests control the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from durable_ray.orchestrations.values.times import LATEST, SECOND

__all__ = ["LATEST", "SECOND", "Alarm", "Clock", "DueAlarm", "SystemClock", "monotonic"]

#: Seconds of the longest asyncio timer, so that a suspended machine or a stepped clock is noticed at its end.
_LONGEST_WAIT = 60.0


class Alarm(Protocol):
    """A timer that can be cancelled."""

    def cancel(self) -> None:
        """Cancel it; harmless if it has fired."""


class Clock(Protocol):
    """The time as the runtime sees it."""

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""

    def call_at(self, at: int, call: Callable[[], None]) -> Alarm:
        """Call `call` on the running event loop at or after `at` (µs), or earlier: the callee checks `now` itself."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def call_at(self, at: int, call: Callable[[], None]) -> Alarm:
        """Arm an asyncio timer."""
        delay = min(max(at - self.now(), 0) / SECOND, _LONGEST_WAIT)
        return asyncio.get_running_loop().call_later(delay, call)


class DueAlarm:
    """One alarm for the first of many due times, which are in the store.

    Args:
        clock: by which they are due.
        ring: called at the first due time, or earlier.
    """

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._alarm: Alarm | None = None
        self._readings = 0

    async def set_by(self, reading: Awaitable[int | None]) -> None:
        """Set it for the due time (µs; None: there is none) that `reading` answers; it may have passed meanwhile.

        Of several readings at a time the one that began last counts: another may have read before an earlier due time was
        stored, and be answered after the alarm for that was set.
        """
        self._readings += 1
        mine = self._readings
        due = await reading
        if mine != self._readings:
            return
        self._cancel()
        if due is not None:
            self._alarm = self._clock.call_at(due, self._ring)

    @property
    def alarm(self) -> Alarm | None:
        """The alarm, where it is set or has rung."""
        return self._alarm

    def close(self) -> None:
        """Cancel it, and let no reading that is under way set it."""
        self._readings += 1
        self._cancel()

    def _cancel(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def monotonic() -> float:
    """Seconds of a monotonic clock, for measuring durations."""
    return time.monotonic()
