"""Driving steps to their end: once in the caller's thread, once on the caller's event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from durable_ray.client.coalescing import Coalescer
from durable_ray.client.ordering import Ordering
from durable_ray.client.steps import Call, InOrder, Pause, Steps

R = TypeVar("R")
T = TypeVar("T")


def drive(steps: Steps[R], make: Callable[[Call], Any]) -> R:
    """Run steps here, making calls with `make`; what it raises is thrown into the steps."""
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            wanted = steps.throw(error) if error else steps.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        answer, error = None, None
        if isinstance(wanted, Pause):
            time.sleep(wanted.seconds)
            continue
        try:
            # A blocking caller has no unanswered call.
            answer = drive(wanted.carry([wanted.item]), make)[0] if isinstance(wanted, InOrder) else make(wanted)
        except Exception as raised:
            error = raised


async def drive_async(
    steps: Steps[R], make: Callable[[Call], Awaitable[Any]], take: Callable[[InOrder], Awaitable[Any]]
) -> R:
    """Run steps on this loop; see `drive`. `take` sends what has an order."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            wanted = steps.throw(error) if error else steps.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        answer, error = None, None
        if isinstance(wanted, Pause):
            await asyncio.sleep(wanted.seconds)
            continue
        try:
            answer = await (take(wanted) if isinstance(wanted, InOrder) else make(wanted))
        except Exception as raised:
            error = raised


class LoopDriver:
    """Runs steps on one event loop: what is asked for in one step of it goes together, and what has an order in that order."""

    def __init__(
        self, make: Callable[[Call], Awaitable[Any]], in_turn: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`make` makes a call; those to targets `in_turn` are made one by one."""
        self._coalescer = Coalescer(make, in_turn)
        self._ordering = Ordering(self.run)

    async def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""
        return await drive_async(steps, self._coalescer.make, self._ordering.take)


class PerLoop(Generic[T]):
    """One of `make()` for each event loop; that of a loop which has ended is dropped. Loops may run in several threads."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}
        self._gate = threading.Lock()

    def __len__(self) -> int:
        return len(self._made)

    def get(self) -> T:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        found = self._made.get(loop)
        if found is None:
            with self._gate:
                found = self._make()
                self._made = {known: one for known, one in self._made.items() if not known.is_closed()}
                self._made[loop] = found
        return found
