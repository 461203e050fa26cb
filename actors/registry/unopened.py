"""Hosts that cannot be had: tried a few times where they are, then given up, and what waits for them says why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.store.contract import Fenced, Store

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

#: How often a host is opened before it is given up, and seconds before the second time; then twice as many, and so on.
_TRIES, _FIRST_PAUSE = 5, 0.5
#: With this the reason of an instance begins that waits for its host.
_HOST = "host: "
#: Instances of one host that are told why it cannot be had; the others wait for the same.
_MANY = 200
_REASON_CHARS = 500


class CannotOpen(Unreachable):
    """A host could not be opened and has given its place back. Its text says why; whoever wants it may ask again later."""


async def opened(open_it: Callable[[], Awaitable[T]], host: str) -> T:
    """What `open_it` answers; after any error it is tried again, with pauses that grow.

    Raises Fenced at once; CannotOpen in the end.
    """
    pause = _FIRST_PAUSE
    for number in range(1, _TRIES + 1):
        try:
            return await open_it()
        except Fenced:
            raise
        except Exception as error:
            log.exception("host %s could not be opened (%d of %d tries)", host, number, _TRIES)
            if number == _TRIES:
                raise CannotOpen(f"{host} cannot be opened: {in_short(error)}") from error
        await asyncio.sleep(pause)
        pause *= 2
    raise AssertionError("not reached")


def in_short(error: BaseException) -> str:
    """An error as a part of a sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if isinstance(error, CannotOpen) else f"{type(error).__name__}: {text}"
    return text if len(text) <= _REASON_CHARS else f"{text[: _REASON_CHARS - 3]}..."


class WaitingForHosts:
    """What the registry writes into the rows of instances whose hosts cannot be had, and takes away when they can."""

    def __init__(self, store: Store, blocking: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._store = store
        self._blocking = blocking
        self._told: dict[str, set[str]] = {}

    async def failed(self, host: str, instance_ids: Sequence[str], error: BaseException) -> None:
        """These instances wait for `host`, which cannot be had because of this."""
        told = self._told.setdefault(host, set())
        reason = f"{_HOST}{in_short(error)}"
        for instance_id in instance_ids[:_MANY]:
            told.add(instance_id)
            await self._write(instance_id, reason)

    async def came(self, host: str) -> None:
        """It is there. Whoever has taken a turn since has no reason any more, or another one."""
        told = list(self._told.pop(host, ()))
        if not told:
            return
        try:
            rows = await self._blocking(lambda: self._store.rows(told))
        except Exception as error:
            log.warning("reasons to wait for %s stay until the next turn: %s", host, error)
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
            log.warning("why %r waits cannot be noted: %s", instance_id, error)
