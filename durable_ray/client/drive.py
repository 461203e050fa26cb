"""Driving steps to their end: once in the caller's thread, once on the caller's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from durable_ray.client.steps import Call, InOrder, Pause, Steps

R = TypeVar("R")


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
