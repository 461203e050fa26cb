"""Hosts that cannot be opened: retried a few times in their process, then given up; waiting instances show the reason."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.store.background import Blocking, next_pause
from durable_ray.actors.store.contract import Fenced, Store

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

#: Attempts to open a host, and seconds before the second; doubled each time.
_TRIES, _FIRST_PAUSE = 5, 0.5
#: Prefix of `waiting_reason` of an instance that waits for its host.
_HOST = "host: "
#: Instances of one host whose row gets the reason; the others wait for the same.
_MANY = 200
_REASON_CHARS = 500


class CannotOpen(Unreachable):
    """A host could not be opened and has released its place. The text says why; callers may retry later."""


async def opened(open_it: Callable[[], Awaitable[T]], host: str) -> T:
    """The result of `open_it`; after any error it is retried, with growing pauses.

    Raises Fenced at once; CannotOpen in the end.
    """
    pause = 0.0
    for number in range(1, _TRIES + 1):
        try:
            return await open_it()
        except Fenced:
            raise
        except Exception as error:
            log.exception("host %s could not be opened (%d of %d tries)", host, number, _TRIES)
            if number == _TRIES:
                raise CannotOpen(f"{host} cannot be opened: {in_short(error)}") from error
        pause = next_pause(pause, _FIRST_PAUSE, math.inf)
        await asyncio.sleep(pause)
    raise AssertionError("not reached")


def in_short(error: BaseException) -> str:
    """An error as a part of a sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if isinstance(error, CannotOpen) else f"{type(error).__name__}: {text}"
    return text if len(text) <= _REASON_CHARS else f"{text[: _REASON_CHARS - 3]}..."


class WaitingForHosts:
    """Sets `waiting_reason` of instances whose hosts cannot be opened, and clears it when they can."""

    def __init__(self, store: Store, blocking: Blocking) -> None:
        self._store = store
        self._blocking = blocking
        self._marked: dict[str, set[str]] = {}

    async def failed(self, host: str, instance_ids: Sequence[str], error: BaseException) -> None:
        """These instances wait for `host`, which cannot be opened because of `error`."""
        marked = self._marked.setdefault(host, set())
        reason = f"{_HOST}{in_short(error)}"
        for instance_id in instance_ids[:_MANY]:
            marked.add(instance_id)
            await self._write(instance_id, reason)

    async def opened(self, host: str) -> None:
        """It is open. Instances that have taken a turn since have no reason any more, or another one."""
        marked = list(self._marked.pop(host, ()))
        if not marked:
            return
        try:
            rows = await self._blocking(lambda: self._store.rows(marked))
        except Exception as error:
            log.warning("the waiting reasons of instances of %s stay until their next turn: %s", host, error)
            return
        for row in rows.values():
            if (row.waiting_reason or "").startswith(_HOST):
                await self._write(row.instance_id, None)

    async def _write(self, instance_id: str, reason: str | None) -> None:
        try:
            await self._blocking(lambda: self._store.set_waiting_reason(instance_id, reason))
        except Fenced:
            raise
        except Exception as error:
            log.warning("the waiting reason of %r cannot be stored: %s", instance_id, error)
