"""The one place that reads the clock. Everybody else is told the time, so that tests can tell it too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from durable_ray.orchestrations.values.times import LATEST, SECOND

__all__ = ["LATEST", "SECOND", "Alarm", "Clock", "SystemClock", "monotonic"]

#: A single asyncio timer is never longer than this: a suspended laptop or a stepped clock is noticed at its end.
_LONGEST_WAIT = 60.0


class Alarm(Protocol):
    """A wake-up call that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless if it has rung."""


class Clock(Protocol):
    """The time as the runtime sees it."""

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""

    def wake(self, at: int, call: Callable[[], None]) -> Alarm:
        """Call `call` on the running event loop at or after `at` (µs), or earlier: the callee looks at `now` itself."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def wake(self, at: int, call: Callable[[], None]) -> Alarm:
        """Arm an asyncio timer."""
        delay = min(max(at - self.now(), 0) / SECOND, _LONGEST_WAIT)
        return asyncio.get_running_loop().call_later(delay, call)


def monotonic() -> float:
    """Seconds of a clock that nobody sets, for measuring how long something takes."""
    return time.monotonic()
