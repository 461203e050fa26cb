"""Opening with retries: attempted again with growing pauses until it succeeds, or fails for good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from durable_ray.actors.store.background import next_pause

T = TypeVar("T")
log = logging.getLogger("durable_ray.actor")

#: Seconds between two attempts: at first, and at last. The last bounds the delay after the cause has passed.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class StillOpening(Exception):
    """It is not open yet; the message says why."""


class RetriedOpening(Generic[T]):
    """Opens in the background: one attempt after the other until one succeeds, or fails for good."""

    def __init__(self, attempt: Callable[[], Awaitable[T]], retryable: Callable[[Exception], bool], what: str) -> None:
        """`retryable` decides by what `attempt` raised; `what` is opened, for the log."""
        self._attempt = attempt
        self._retryable = retryable
        self._what = what
        #: Why the last attempt failed.
        self.last_error: Exception | None = None
        self._attempted = asyncio.Event()
        self.task: asyncio.Task[T] = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> T:
        pause = 0.0
        try:
            while True:
                try:
                    return await self._attempt()
                except Exception as error:
                    if not self._retryable(error):
                        raise
                    log.warning("%s cannot be opened yet, trying again: %s", self._what, error)
                    self.last_error = error
                    self._attempted.set()
                pause = next_pause(pause, _FIRST_PAUSE, _LONGEST_PAUSE)
                await asyncio.sleep(pause)
        finally:
            self._attempted.set()

    async def first(self) -> T:
        """What was opened. Raises what made the first attempt fail (or the last, if there were more)."""
        await self._attempted.wait()
        if not self.task.done() and self.last_error is not None:
            raise self.last_error
        return await asyncio.shield(self.task)

    async def within(self, seconds: float) -> T:
        """What was opened. Raises what it failed with for good, or StillOpening after `seconds`."""
        if not self.task.done():
            await asyncio.wait([self.task], timeout=seconds)
            if not self.task.done():
                raise StillOpening(
                    f"{self._what} cannot be opened yet: {self.last_error or 'it is still being opened'}"
                )
        return await asyncio.shield(self.task)
