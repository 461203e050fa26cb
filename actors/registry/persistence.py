"""Opening what may not be had yet: tried again with growing pauses until it is open, or will never be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger("durable_ray.actor")

#: Seconds between two attempts: at first, and at last. The last bounds how long after the cause's end work goes on.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class StillOpening(Exception):
    """It is not open yet; the message says what is in the way."""


class Persistent(Generic[T]):
    """Attempts to open, one after the other, until one succeeds or fails for good."""

    def __init__(self, attempt: Callable[[], Awaitable[T]], passes: Callable[[Exception], bool], what: str) -> None:
        """`passes` says whether what `attempt` raised may pass; `what` is opened, for the log."""
        self._attempt = attempt
        self._passes = passes
        self._what = what
        #: Why the last attempt failed.
        self.trouble: Exception | None = None
        self._news = asyncio.Event()
        self.task: asyncio.Task[T] = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> T:
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    return await self._attempt()
                except Exception as error:
                    if not self._passes(error):
                        raise
                    log.warning("%s cannot be opened yet, trying again: %s", self._what, error)
                    self.trouble = error
                    self._news.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            self._news.set()

    async def first(self) -> T:
        """What was opened. Raises what made the first attempt fail (or the last, if there were more)."""
        await self._news.wait()
        if not self.task.done() and self.trouble is not None:
            raise self.trouble
        return await asyncio.shield(self.task)

    async def within(self, seconds: float) -> T:
        """What was opened. Raises what it failed of for good, or StillOpening after `seconds`."""
        if not self.task.done():
            await asyncio.wait([self.task], timeout=seconds)
            if not self.task.done():
                raise StillOpening(f"{self._what} cannot be opened yet: {self.trouble or 'it is still at it'}")
        return await asyncio.shield(self.task)
