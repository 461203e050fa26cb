"""Reads that must succeed: retried with exponential backoff until the store answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from durable_ray.actors.store.contract import Fenced

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


async def until_answered(
    blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
    call: Callable[[], T],
    what: str,
) -> T:
    """The answer of `call`, run by `blocking`; after any error it is called again, with pauses (s) that grow.

    Ends without an answer only by being cancelled, or with Fenced: what must be done is its successor's to do.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            answer: T = await blocking(call)
            return answer
        except Fenced:
            raise
        except Exception as error:
            log.warning("%s failed, retrying: %s", what, error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
