"""Tells hosts that there is something in the store for them. One without a process is given it; it reads all by itself.

A sender's message is acknowledged when its host has been told: the next, sent straight to that host, must not come before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

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
from durable_ray.actors.store.contract import Store

log = logging.getLogger("durable_ray.registry")

#: A host's answer: it has no process, and has to be admitted.
_ASLEEP = "asleep"

#: Forgotten instances of one host that a sweep looks after; the next sweep finds more.
_MANY = 1000
#: Hosts that are told of a deployment at a time, and for how many seconds each at most.
_TOLD_AT_ONCE, _ANNOUNCE_SECONDS = 16, 5.0
#: Seconds for which a partition that could not be had is let be: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


class Notifier:
    """Partitions are made as they are needed; of dedicated instances it is `Admission` that says who has a process."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        definition_cache: DefinitionCache,
        partitions: int,
        hosts: Hosts,
        admission: Admission,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        spawn: Callable[[Any], None],
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
        #: Those that could not be had: why, how long they are let be, and what tries again.
        self._let_be: dict[str, tuple[Exception, float]] = {}
        self._again: dict[str, asyncio.TimerHandle] = {}
        #: Hosts that a sweep is telling of what they forgot.
        self._reminded: set[str] = set()
        self._announcing = self._announce_again = False

    async def open(self) -> None:
        """Revive the hosts that have work."""
        now = self._clock.now()
        for host in await self._blocking(lambda: self._store.hosts_with_work(now)):
            self._spawn(self.ensure(host))

    async def ensure(self, host: str) -> bool:
        """Make sure that a host has a process; False if there is no such host, or its process cannot be made now."""
        if is_dedicated(host):
            return await self._admission.ensure(instance_of(host))
        if host in self._again:
            raise CannotOpen(in_short(self._let_be[host][0]))
        making = self._partitions.get(host)
        if making is None:
            making = asyncio.ensure_future(self._make(host))
            self._partitions[host] = making
            making.add_done_callback(lambda _: self._partitions.pop(host, None))
        await asyncio.shield(making)
        return True

    async def _make(self, host: str) -> None:
        try:
            await self._hosts.ensure_partition(host, self._definition_cache.runtime_env(environment_of(host)))
        except Exception as error:
            if isinstance(error, Unreachable) and not isinstance(error, CannotOpen):
                raise  # it may be there
            _, last = self._let_be.get(host, (error, 0.0))
            pause = min(2 * last, _LONGEST_PAUSE) if last else _FIRST_PAUSE
            self._let_be[host] = error, pause
            self._again[host] = asyncio.get_running_loop().call_later(pause, self._try_again, host)
            self._spawn(self._say_why(host, error))
            raise
        self._let_be.pop(host, None)
        await self._unopened.came(host)

    def _try_again(self, host: str) -> None:
        del self._again[host]
        self._remind(host, [])

    async def _say_why(self, host: str, error: Exception) -> None:
        now = self._clock.now()
        waiting = await self._blocking(lambda: self._store.to_revive(host, now))
        await self._unopened.failed(host, waiting, error)

    async def wake(self, targets: Iterable[tuple[str, str]]) -> None:
        """There is something in the store for these (host, instance): tell their hosts, or make them."""
        by_host: dict[str, list[str]] = {}
        for host, instance_id in targets:
            by_host.setdefault(host, []).append(instance_id)
        told = await asyncio.gather(
            *(self._tell(host, instance_ids) for host, instance_ids in by_host.items()), return_exceptions=True
        )
        if _ASLEEP in told:
            self._spawn(self._admission.admit())
        for error in told:
            if isinstance(error, BaseException):
                raise error

    async def _tell(self, host: str, instance_ids: Sequence[str]) -> str | None:
        if is_dedicated(host):
            return None if await self._admission.tell(instance_of(host), instance_ids) else _ASLEEP
        try:
            if await self._hosts.notify(host, instance_ids):
                return None
        except Exception as error:
            log.info("%s cannot be told of mail, it is looked for: %s", host, error)
        try:
            await self.ensure(host)
        except Exception as error:
            if isinstance(error, Unreachable) and not isinstance(error, CannotOpen):
                raise  # it may live, and be reached by others: nobody's mail is acknowledged before it knows
            # It has no process that could miss anything, and is no reason to leave others without an answer.
            log.warning("%s cannot be had; it reads its mail when it can: %s", host, error)
            return None
        await self._hosts.notify(host, instance_ids)
        return None

    async def announce(self) -> None:
        """Tell the hosts that have a process that something was deployed. Nothing depends on that they hear it."""
        self._announce_again = True
        if self._announcing:
            return
        self._announcing = True
        try:
            while self._announce_again:
                self._announce_again = False
                hosts = [*self._shared(), *(dedicated_host(instance_id) for instance_id in self._admission.ready())]
                for at in range(0, len(hosts), _TOLD_AT_ONCE):
                    await asyncio.gather(*(self._announce(host) for host in hosts[at : at + _TOLD_AT_ONCE]))
        finally:
            self._announcing = False

    async def _announce(self, host: str) -> None:
        try:
            await asyncio.wait_for(self._hosts.deployed(host), _ANNOUNCE_SECONDS)
        except Exception as error:
            log.info("%s is not told of what was deployed; its next commit says so: %r", host, error)

    def _shared(self) -> list[str]:
        known = [self._definition_cache.known_orchestrator(name) for name in self._definition_cache.names()]
        environments = {"", *(self._definition_cache.environment(one.row) for one in known if one is not None)}
        return [host for environment in environments for host in partition_hosts(self._shards, environment)]

    # --- upkeep -----------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Whoever has mail or is overdue was not told, or has not come to it yet; to be told twice does no harm."""
        now = self._clock.now()
        for host in await self._blocking(lambda: self._store.hosts_with_work(now)):
            mail = await self._blocking(partial(self._store.with_messages, host, _MANY))
            due = await self._blocking(partial(self._store.due, host, now, _MANY))
            if forgotten := {*mail, *(instance_id for instance_id, _ in due)}:
                self._remind(host, sorted(forgotten))
        ready = self._admission.ready()
        rows = await self._blocking(lambda: self._store.inbox(ready)) if ready else ()
        for instance_id in {row.instance_id for row in rows}:
            self._remind(dedicated_host(instance_id), [instance_id])

    def _remind(self, host: str, instance_ids: Sequence[str]) -> None:
        """Beside the sweep, not in it: a host whose environment cannot be made keeps it waiting for minutes."""
        if host not in self._reminded:
            self._reminded.add(host)
            self._spawn(self._wake_one(host, instance_ids))

    async def _wake_one(self, host: str, instance_ids: Sequence[str]) -> None:
        try:
            if instance_ids:
                await self.wake([(host, instance_id) for instance_id in instance_ids])
            else:
                await self._tell(host, [])
        finally:
            self._reminded.discard(host)
