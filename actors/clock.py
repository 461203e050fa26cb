"""The only module that reads the clock. All others take a `Clock`, so that tests control the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from durable_ray.orchestrations.values.times import LATEST, SECOND

__all__ = ["LATEST", "SECOND", "Alarm", "Clock", "SystemClock", "monotonic"]

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


def monotonic() -> float:
    """Seconds of a monotonic clock, for measuring durations."""
    return time.monotonic()
