"""Notifies hosts that the store has something for them. One without a process is created, and reads its whole inbox.

A sender's message is acknowledged when its host has been notified: the next, sent straight to that host, must not overtake it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial

from durable_ray.actors.clock import Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances.placement import (
    dedicated_host,
    environment_of,
    instance_of,
    is_dedicated,
    partition_hosts,
)
from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.registry.admission import Admission, Hosts
from durable_ray.actors.registry.unopened import CannotOpen, WaitingForHosts, in_short
from durable_ray.actors.store.background import Blocking, Spawn, next_pause
from durable_ray.actors.store.contract import Store

log = logging.getLogger("durable_ray.registry")

#: The outcome for a dedicated host that has no actor: it has to be admitted.
_ABSENT = "absent"

#: Instances of one host that a sweep notifies it of; the next sweep finds more.
_MANY = 1000
#: Hosts that are notified of a deployment at a time, and for how many seconds each at most.
_AT_ONCE, _ANNOUNCE_SECONDS = 16, 5.0
#: Seconds of backoff after a partition could not be created: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


class Notifier:
    """Creates partitions as they are needed; for dedicated instances, `Admission` decides which have an actor."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        definition_cache: DefinitionCache,
        partitions: int,
        hosts: Hosts,
        admission: Admission,
        blocking: Blocking,
        spawn: Spawn,
    ) -> None:
        self._store = store
        self._clock = clock
        self._definition_cache = definition_cache
        self._shards = partitions
        self._hosts = hosts
        self._admission = admission
        self._blocking = blocking
        self._spawn = spawn
        self._unopened = WaitingForHosts(store, blocking)
        self._partitions: dict[str, asyncio.Task[None]] = {}
        #: Those that could not be created: why, the pause, and the timer that tries again.
        self._backoffs: dict[str, tuple[Exception, float]] = {}
        self._again: dict[str, asyncio.TimerHandle] = {}
        #: Hosts that are being notified again, by a sweep or after a backoff.
        self._renotified: set[str] = set()
        self._announcing = self._announce_again = False

    async def open(self) -> None:
        """Recover the hosts that have work."""
        now = self._clock.now()
        for host in await self._blocking(lambda: self._store.hosts_with_work(now)):
            self._spawn(self.ensure(host))

    async def ensure(self, host: str) -> bool:
        """Get or create a host's actor; False if there is no such host, or its actor cannot be created now."""
        if is_dedicated(host):
            return await self._admission.ensure(instance_of(host))
        if host in self._again:
            raise CannotOpen(in_short(self._backoffs[host][0]))
        creating = self._partitions.get(host)
        if creating is None:
            creating = asyncio.ensure_future(self._create(host))
            self._partitions[host] = creating
            creating.add_done_callback(lambda _: self._partitions.pop(host, None))
        await asyncio.shield(creating)
        return True

    async def _create(self, host: str) -> None:
        try:
            await self._hosts.ensure_partition(host, self._definition_cache.runtime_env(environment_of(host)))
        except Exception as error:
            if isinstance(error, Unreachable) and not isinstance(error, CannotOpen):
                raise  # it may exist
            _, last = self._backoffs.get(host, (error, 0.0))
            pause = next_pause(last, _FIRST_PAUSE, _LONGEST_PAUSE)
            self._backoffs[host] = error, pause
            self._again[host] = asyncio.get_running_loop().call_later(pause, self._try_again, host)
            self._spawn(self._record_reason(host, error))
            raise
        self._backoffs.pop(host, None)
        await self._unopened.opened(host)

    def _try_again(self, host: str) -> None:
        del self._again[host]
        self._notify_again(host, [])

    async def _record_reason(self, host: str, error: Exception) -> None:
        now = self._clock.now()
        waiting = await self._blocking(lambda: self._store.to_revive(host, now))
        await self._unopened.failed(host, waiting, error)

    async def notify(self, targets: Iterable[tuple[str, str]]) -> None:
        """Notify the hosts that the store has something for these (host, instance), or create them."""
        by_host: dict[str, list[str]] = {}
        for host, instance_id in targets:
            by_host.setdefault(host, []).append(instance_id)
        outcomes = await asyncio.gather(
            *(self._notify(host, instance_ids) for host, instance_ids in by_host.items()), return_exceptions=True
        )
        if _ABSENT in outcomes:
            self._spawn(self._admission.admit())
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _notify(self, host: str, instance_ids: Sequence[str]) -> str | None:
        if is_dedicated(host):
            return None if await self._admission.notify(instance_of(host), instance_ids) else _ABSENT
        try:
            if await self._hosts.notify(host, instance_ids):
                return None
        except Exception as error:
            log.info("%s cannot be notified, its actor is looked up or created: %s", host, error)
        try:
            await self.ensure(host)
        except Exception as error:
            if isinstance(error, Unreachable) and not isinstance(error, CannotOpen):
                raise  # it may live, and be reached by others: no message is acknowledged before it was notified
            # It has no process that could miss anything: the message is durable, and is acknowledged.
            log.warning("%s cannot be created; it reads its inbox once it can: %s", host, error)
            return None
        await self._hosts.notify(host, instance_ids)
        return None

    async def announce(self) -> None:
        """Notify all running hosts that something was deployed. Best effort: else their next commit finds it."""
        self._announce_again = True
        if self._announcing:
            return
        self._announcing = True
        try:
            while self._announce_again:
                self._announce_again = False
                hosts = [*self._shared(), *(dedicated_host(instance_id) for instance_id in self._admission.running())]
                for at in range(0, len(hosts), _AT_ONCE):
                    await asyncio.gather(*(self._announce(host) for host in hosts[at : at + _AT_ONCE]))
        finally:
            self._announcing = False

    async def _announce(self, host: str) -> None:
        try:
            await asyncio.wait_for(self._hosts.deployed(host), _ANNOUNCE_SECONDS)
        except Exception as error:
            log.info("%s was not notified of a deployment; its next commit finds it: %r", host, error)

    def _shared(self) -> list[str]:
        known = [self._definition_cache.known_orchestrator(name) for name in self._definition_cache.names()]
        environments = {"", *(self._definition_cache.environment(one.row) for one in known if one is not None)}
        return [host for environment in environments for host in partition_hosts(self._shards, environment)]

    # --- upkeep -----------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Re-notify hosts that have undelivered inbox rows or overdue timers; idempotent."""
        now = self._clock.now()
        for host in await self._blocking(lambda: self._store.hosts_with_work(now)):
            undelivered = await self._blocking(partial(self._store.with_messages, host, _MANY))
            due = await self._blocking(partial(self._store.due, host, now, _MANY))
            if overdue := {*undelivered, *(instance_id for instance_id, _ in due)}:
                self._notify_again(host, sorted(overdue))
        running = self._admission.running()
        rows = await self._blocking(lambda: self._store.inbox(running)) if running else ()
        for instance_id in {row.instance_id for row in rows}:
            self._notify_again(dedicated_host(instance_id), [instance_id])

    def _notify_again(self, host: str, instance_ids: Sequence[str]) -> None:
        """In the background: creating a host whose environment cannot be built takes minutes, which would delay the sweep."""
        if host not in self._renotified:
            self._renotified.add(host)
            self._spawn(self._notify_in_background(host, instance_ids))

    async def _notify_in_background(self, host: str, instance_ids: Sequence[str]) -> None:
        try:
            if instance_ids:
                await self.notify([(host, instance_id) for instance_id in instance_ids])
            else:
                await self._notify(host, [])
        finally:
            self._renotified.discard(host)
