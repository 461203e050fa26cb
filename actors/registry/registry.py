"""The registry: answers what is asked about instances, starts those with a chosen ID, finds every instance its host.

It owns the hub (lease, heartbeat, upkeep), and is asked only where no host is known: the way of an event to a running
instance does not lead through here. It moves payloads and code as text and bytes and opens neither.

What it can do is in its parts: `queries`, `delivery`, `management`. Here is what keeps the house.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from durable_ray.actors.code.described import described
from durable_ray.actors.host.service import ending_of
from durable_ray.actors.instances.placement import instance_of, is_dedicated
from durable_ray.actors.registry.management import RegistryManagement
from durable_ray.actors.registry.queries import RegistryQueries
from durable_ray.actors.store.contract import Fenced
from durable_ray.actors.store.records import DefinitionRow

log = logging.getLogger("durable_ray.registry")

#: Instances whose time to be kept is over are purged so many at a time, so often in one sweep.
_EXPIRED_BATCH, _EXPIRED_BATCHES = 500, 20
#: Receipts forgotten in one transaction: turns wait for it.
_RECEIPTS = 5_000


class Registry(RegistryQueries, RegistryManagement):
    """Plain class; `actor_classes` makes it a Ray actor, the tests use it as it is."""

    _house: tuple[asyncio.Task[None], ...] = ()

    async def open(self) -> None:
        """Learn what is there, revive what is not finished, keep the house."""
        await self.deployments.refresh()
        await self.admission.open()
        await self.notifier.open()
        # Not awaited: it may ask one that is leaving, and that answers nobody before its goodbye is heard.
        self.spawn(self.admission.admit())
        self._house = tuple(self._loop.create_task(self._again_and_again(chore)) for chore in self._chores())

    async def asked(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a method by its name. Once this registry was fenced: raises HubInUse if another cluster owns the hub,
        Unreachable if its own successor does."""
        if method.startswith("_"):
            raise AttributeError(method)
        if self.fenced_by is None:
            try:
                return await getattr(self, method)(*args, **kwargs)
            except Fenced:
                if self.fenced_by is None:
                    raise
        raise await self.successor()

    async def close(self) -> None:
        """Stop."""
        for task in (*self._house, *self._tasks):
            task.cancel()
        self.waiters.moved(self.waiters.waited_for())
        await self._loop.run_in_executor(None, self._committer.close)
        self._threads.shutdown(wait=False)

    async def register(self, definitions: Sequence[DefinitionRow]) -> int:
        """Deploy definitions; answers the hub's revision, which a start may carry so that it finds them.

        Raises:
            DefinitionUnreadable: one of them says nothing that can be understood; none was stored.
        """
        for row in definitions:
            described(row)  # before any is stored: what no host could read must not be the newest of its name
        before = self.definition_cache.revision
        revision = await self.blocking(lambda: self.store.put_definitions(definitions))
        await self.deployments.current(revision)
        if revision > before:
            self.spawn(self.notifier.announce())
        return revision

    async def ensure(self, host: str) -> bool:
        """Make sure that a host has a process; False if there is no such host."""
        return await self.notifier.ensure(host)

    # --- words from hosts -------------------------------------------------------------------------

    async def finished(self, instance_ids: Sequence[str]) -> None:
        """These instances have ended (dedicated ones, and those of a name with a limit), or wait for one that ends."""
        rows = await self.blocking(lambda: self.store.rows(instance_ids))
        for row in rows.values():
            if row.finished:
                self.waiters.ended(ending_of(row))
        await self.instance_limiter.look({row.name for row in rows.values()})
        await self.admission.ended(instance_ids)

    async def left(self, instance_id: str) -> None:
        """The dedicated host of this instance leaves memory. Answers at once: a process does not end before the calls
        that it has made are answered, and its place is free only when it has ended."""
        self.spawn(self.admission.left(instance_id))

    async def fenced(self, host: str) -> None:
        """This host's process ends, for its lease is another's or gone. Not always is there a successor that took up its
        work (an erasure takes every lease), and it may have been told of some that it could not do."""
        told = [(host, instance_of(host))]
        self.spawn(self.notifier.wake(told) if is_dedicated(host) else self.notifier.ensure(host))

    # --- upkeep -----------------------------------------------------------------------------------

    def _chores(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        return (
            lambda: self.blocking(partial(self.store.heartbeat, self.clock.now())),
            self.admission.sweep,
            self.notifier.sweep,
            lambda: self.instance_limiter.look(self.instance_limiter.limited()),
            self.permits.sweep,
            self.purge_expired,
            self.forget_receipts,
            lambda: self.blocking(self.store.checkpoint),
        )

    async def _again_and_again(self, chore: Callable[[], Awaitable[object]]) -> None:
        """Each beside the others: one that fails, or waits for a process that cannot be had, keeps none of them undone."""
        while self.fenced_by is None:
            await asyncio.sleep(self.settings.sweep_interval)
            try:
                await chore()
            except Fenced as error:
                self.lose(error)
            except Exception:
                log.exception("a chore of the registry's failed; it is tried again")

    async def forget_receipts(self) -> None:
        """Forget all receipts whose time is over, in small transactions: however many come, as many have to go."""
        now = self.clock.now()
        while await self.blocking(partial(self.store.forget_receipts, now, _RECEIPTS)) == _RECEIPTS:
            pass

    async def purge_expired(self) -> int:
        """Delete the finished instances whose time to be kept is over, in small transactions; answers how many."""
        gone, now = 0, self.clock.now()
        for _ in range(_EXPIRED_BATCHES):
            expired = await self.blocking(partial(self.store.expired, now, _EXPIRED_BATCH))
            gone += await self._purge(expired, recursive=False)
            if len(expired) < _EXPIRED_BATCH:
                break
        return gone
