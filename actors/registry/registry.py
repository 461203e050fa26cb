"""The registry: the hub's control plane. It answers queries, starts instances with a chosen ID, and finds or creates hosts.

It owns the hub (lease, heartbeat, background sweeps), and is called only where no host is known: an event for a running
instance does not pass through it. It moves payloads and code as text and bytes and opens neither.

Its methods are in `queries`, `delivery`, `management` and `schedules/`, each on top of the one before; here are its life, the
reports of hosts, and the sweeps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from durable_ray.actors.code.described import described
from durable_ray.actors.instances.placement import instance_of, is_dedicated
from durable_ray.actors.instances.waiters import ending_of
from durable_ray.actors.registry.schedules.managing import RegistrySchedules
from durable_ray.actors.store.contract import Fenced
from durable_ray.actors.store.measures import Measured
from durable_ray.actors.store.records import DefinitionRow

log = logging.getLogger("durable_ray.registry")

#: Expired instances are purged so many at a time, so often in one sweep.
_EXPIRED_BATCH, _EXPIRED_BATCHES = 500, 20
#: Receipts deleted in one transaction: turns wait for it.
_RECEIPTS = 5_000


class Registry(RegistrySchedules):
    """A plain class: `RegistryActor` runs it as a Ray actor, `InProcessHub` as it is."""

    _sweeps: tuple[asyncio.Task[None], ...] = ()

    async def open(self) -> None:
        """Read what exists, recover what is unfinished, start the sweeps."""
        await self.deployments.refresh()
        await self.admission.open()
        await self.notifier.open()
        # Not awaited: it may ask a host that is passivating, which answers no call before its own report is answered.
        self.spawn(self.admission.admit())
        self.spawn(self.schedules_due())
        self._sweeps = tuple(self._loop.create_task(self._repeat(sweep)) for sweep in self._upkeep())

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
        self.schedule_alarm.close()
        self._background.tasks.cancel()
        for task in self._sweeps:
            task.cancel()
        self.waiters.moved(self.waiters.waited_for())
        await self._loop.run_in_executor(None, self._committer.close)
        self._background.close()

    async def register(self, definitions: Sequence[DefinitionRow]) -> int:
        """Deploy definitions; answers the hub's revision, which a start may carry so that it finds them.

        Raises:
            DefinitionUnreadable: one of them cannot be read; none was stored.
            InvalidSchedule: one declares a schedule that cannot be; none was stored.
        """
        # Before any is stored: an unreadable one must not be the newest of its name.
        scheduled = await self.check_declared([described(row) for row in definitions if not row.absent])
        before = self.definition_cache.revision
        revision = await self.blocking(lambda: self.store.put_definitions(definitions))
        await self.deployments.current(revision)
        if revision > before:
            self.spawn(self.notifier.announce())
        if scheduled:
            await self.declare_schedules(scheduled)
        return revision

    async def ensure(self, host: str) -> bool:
        """Get or create a host's actor; False if there is no such host."""
        return await self.notifier.ensure(host)

    async def ready(self) -> None:
        """Whether this registry owns the hub and can write to its store: by a heartbeat. Raises Fenced, StoreError."""
        await self.blocking(partial(self.store.heartbeat, self.clock.now()))

    # --- reports of hosts -------------------------------------------------------------------------

    async def finished(self, instance_ids: Sequence[str]) -> None:
        """These instances have ended (dedicated ones, runs of schedules, those of a name with a limit), or wait for one that
        ends."""
        rows = await self.rows(instance_ids)
        for row in rows.values():
            if row.finished:
                self.waiters.ended(ending_of(row))
        await self.instance_limiter.dequeue({row.name for row in rows.values()})
        await self.admission.ended(instance_ids)
        await self.runs_ended(rows.values())

    async def passivating(self, instance_id: str, measured: Measured | None = None) -> None:
        """The dedicated host of this instance passivates. Answers at once: a process does not end before the calls that it
        has made are answered, and its place is free only when it has ended."""
        if measured is not None:
            self.hub_measures.take_last(measured)
        self.spawn(self.admission.passivating(instance_id))

    async def fenced(self, host: str) -> None:
        """This host was fenced and ends: its lease is another's or gone. There may be no successor that recovers its work (an
        erasure deletes every lease), and it may have been notified of messages that it did not read."""
        self.measures.count("lease_losses")
        target = [(host, instance_of(host))]
        self.spawn(self.notifier.notify(target) if is_dedicated(host) else self.notifier.ensure(host))

    # --- upkeep -----------------------------------------------------------------------------------

    def _upkeep(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        return (
            self.ready,
            self.admission.sweep,
            self.notifier.sweep,
            lambda: self.instance_limiter.dequeue(self.instance_limiter.limited()),
            self.permits.sweep,
            self.sweep_schedules,
            self.purge_expired,
            self.forget_receipts,
            lambda: self.blocking(self.store.checkpoint),
        )

    async def _repeat(self, sweep: Callable[[], Awaitable[object]]) -> None:
        """Run a sweep periodically. Each has a task of its own: one that fails or hangs does not delay the others."""
        while self.fenced_by is None:
            await asyncio.sleep(self.settings.sweep_interval)
            try:
                await sweep()
            except Fenced as error:
                self.lose(error)
            except Exception:
                log.exception("a sweep of the registry failed; it is repeated")

    async def forget_receipts(self) -> None:
        """Delete all expired receipts, in small transactions."""
        now = self.clock.now()
        while await self.blocking(partial(self.store.forget_receipts, now, _RECEIPTS)) == _RECEIPTS:
            pass

    async def purge_expired(self) -> int:
        """Purge the finished instances whose retention is over, in small transactions; answers how many."""
        deleted, now = 0, self.clock.now()
        for _ in range(_EXPIRED_BATCHES):
            expired = await self.blocking(partial(self.store.expired, now, _EXPIRED_BATCH))
            deleted += await self._purge(expired, recursive=False)
            if len(expired) < _EXPIRED_BATCH:
                break
        return deleted
