"""Callbacks on the deterministic loop, and where those that wait go."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Protocol


class Timers(Protocol):
    """Where delayed callbacks go: to whoever can make them durable."""

    def arm(self, fire_at: int, handle: TimerHandle) -> int:
        """Ask for `handle` to be fired at `fire_at` (µs); answers the timer's number."""

    def disarm(self, number: int) -> None:
        """The timer of that number is no longer wanted."""


class HandleLoop(Protocol):
    """What a handle needs of its loop."""

    def disarm(self, number: int) -> None:
        """Cancel the durable timer of that number."""


class Handle(asyncio.Handle):
    """A callback that will run in this turn. As asyncio's, without its debugging baggage."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object] | None,
        args: tuple[Any, ...],
        loop: HandleLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
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
    """A callback that waits for a durable timer."""

    __slots__ = ("_number", "_when")

    _when: float
    _number: int

    def when(self) -> float:
        """When it is due, on the loop's clock (seconds since the epoch)."""
        return self._when

    def cancel(self) -> None:
        """Do not run the callback any more; the timer, if it has not fired, is cancelled."""
        if not self._cancelled:
            super().cancel()
            self._loop.disarm(self._number)
