"""Callbacks on the deterministic loop, and where those that wait go."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Protocol


class Timers(Protocol):
    """Receives delayed callbacks and makes them durable timers."""

    def arm(self, fire_at: int, handle: TimerHandle) -> int:
        """Ask for `handle` to be fired at `fire_at` (µs); answers the timer's number."""

    def disarm(self, number: int) -> None:
        """The timer of that number is no longer wanted."""


class Handle(asyncio.Handle):
    """A callback that will run in this turn. As asyncio's, without its debugging baggage."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object] | None,
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = None
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False
        self._repr = None
        self._source_traceback = None

    def cancel(self) -> None:
        """Do not run the callback any more."""
        self._cancelled = True
        self._callback = None
        self._args = ()


class TimerHandle(Handle):
    """A callback that waits for a durable timer.

    Attributes:
        number: that of its timer, once it has one.
    """

    __slots__ = ("_timers", "_when", "number")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        timers: Timers,
        when: float,
    ) -> None:
        super().__init__(callback, args, context)
        self._timers = timers
        self._when = when
        self.number: int | None = None

    def when(self) -> float:
        """When it is due, on the loop's clock (seconds since the epoch)."""
        return self._when

    def cancel(self) -> None:
        """Do not run the callback any more; the timer, if it has not fired, is cancelled."""
        if not self._cancelled:
            super().cancel()
            if self.number is not None:
                self._timers.disarm(self.number)

    def fired(self) -> Handle:
        """The callback, which runs now; this handle is spent, and to cancel it is nothing any more."""
        due = Handle(self._callback, tuple(self._args), self._context)
        # asyncio.sleep cancels its own handle when it is done, and that must not count.
        super().cancel()
        return due
