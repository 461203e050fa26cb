"""Admission of dedicated instances: as many have an actor as the limit allows, and any asked for by name.

The truth is a query (`dedicated_waiting`: who is due, in order), run on every notification and in every sweep; in memory
is only which actors exist. Under pressure, hosts that merely wait are asked to passivate, oldest first, so that parents
waiting for dedicated children cannot lock each other out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from durable_ray.actors.clock import Clock, DueAlarm
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.instances.waits import UnmetDemand
from durable_ray.actors.registry.actor_lifecycle import ActorLifecycle, Actors, ActorState
from durable_ray.actors.registry.unopened import WaitingForHosts
from durable_ray.actors.store.background import Blocking, Spawn, next_pause, until_answered
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.measures import Measured
from durable_ray.actors.store.records import InstanceRow
from durable_ray.orchestrations.authoring.options import OrchestratorOptions

log = logging.getLogger("durable_ray.registry")

#: Seconds between two admissions while instances wait for a place.
_PRESSURE = 0.25

#: Seconds in which an actor answers whether it passivates, unless it cannot.
_ANSWER_SECONDS = 5.0


class Hosts(Actors, Protocol):
    """Actors of hosts: created, listed, called. Nothing here raises for a host that died meanwhile."""

    async def ensure_partition(self, host: str, runtime_env: str | None) -> None:
        """Get or create a partition's actor; a new one recovers what it finds in the store."""

    async def create(self, row: InstanceRow, options: OrchestratorOptions | None, runtime_env: str | None) -> None:
        """Create the actor of a dedicated instance; returns when it answers. Raises if it cannot be created."""

    async def passivate(self, instance_id: str) -> bool:
        """Ask a dedicated host to passivate if its instance merely waits or has finished; whether it will."""

    async def deployed(self, host: str) -> None:
        """Notify a host, if it has an actor, that something was deployed."""

    async def unmet(self, demands: Mapping[str, Mapping[str, Any]]) -> Mapping[str, UnmetDemand]:
        """Name -> which resource cannot be had now, of those that its options (Ray's) ask for. Bounded in time."""

    async def names(self) -> Collection[str]:
        """The processes that get heartbeats: hosts and workers, by name."""

    async def measured(self, host: str) -> Measured:
        """What a host's process has counted. Raises if it does not answer."""


class Admission:
    """Which dedicated instances have an actor, and which are next."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        hosts: Hosts,
        waiters: Waiters,
        blocking: Blocking,
        spawn: Spawn,
    ) -> None:
        self._store = store
        self._clock = clock
        self._definition_cache = definition_cache
        self.hosts = hosts
        self._blocking = blocking
        self._spawn = spawn
        self._limit = settings.dedicated_limit()
        self.actors = ActorLifecycle(hosts, self._vacate, self.admit, waiters.moved, spawn)
        self._admitting = False
        self._admit_again = False
        self._alarm = DueAlarm(clock, lambda: self._spawn(self.admit()))
        self._soon: asyncio.TimerHandle | None = None
        self._making_room = False
        self._unopened = WaitingForHosts(store, blocking)
        self._create_backoff = CreateBackoff(lambda: self._spawn(self.admit()))

    @property
    def idle(self) -> bool:
        """Whether no admission is under way."""
        return not self._admitting and self.actors.all_running

    def is_running(self, instance_id: str) -> bool:
        """Whether this dedicated instance has an actor that answers."""
        return self.actors.is_running(instance_id)

    @property
    def limit(self) -> int:
        """Most dedicated instances that have an actor at once."""
        return self._limit

    def has(self, instance_id: str) -> bool:
        """Whether this dedicated instance has an actor, in whatever state."""
        return instance_id in self.actors

    async def open(self) -> None:
        """List the actors that exist."""
        await self._discover(await self.hosts.alive())
        lost = [i for i in await self._blocking(self._store.residents) if i not in self.actors]
        if lost:
            await self._blocking(lambda: self._store.mark_resident(lost, False))

    def running(self) -> list[str]:
        """Those whose actor answers, the oldest first."""
        return self.actors.running()

    async def notify(self, instance_id: str, what: Sequence[str]) -> bool:
        """Notify this instance's actor of messages for these; returns when it knows. False if it has no actor yet."""
        process = self.actors.get(instance_id)
        if process is None or not process.created:
            return False
        await self.actors.notify(instance_id, process, what)
        return True

    def place(self, row: InstanceRow) -> str:
        """Why a dedicated instance that has something to do has no process, in words; "" if it has one, or needs none."""
        due = row.next_due is not None and row.next_due <= self._clock.now()
        if row.placement != "dedicated" or row.finished or row.queued or not due or self.is_running(row.instance_id):
            return ""
        if self.has(row.instance_id):
            return "its process is being started"
        return f"a process of its own: {len(self.actors)} have one, max_dedicated is {self._limit}"

    # --- admission --------------------------------------------------------------------------------

    async def ensure(self, instance_id: str) -> bool:
        """Get or create the actor of this instance, whatever the limit: a caller asks for it by name. False if there is no
        such instance, or its actor cannot be created."""
        process = self.actors.get(instance_id)
        if process is not None and process.state is ActorState.RUNNING:
            await self.actors.notify(instance_id, process, [instance_id])
        return await self._get_or_create(instance_id)

    async def admit(self) -> None:
        """Create actors for the instances that are due, as far as the limit allows."""
        self._admit_again = True
        if self._admitting:
            return
        self._admitting = True
        try:
            while self._admit_again:
                self._admit_again = False
                await self._admit()
        except Exception:
            self._admit_soon()  # callers meanwhile rely on this one
            raise
        finally:
            self._admitting = False
        now = self._clock.now()
        await self._alarm.set_by(self._blocking(lambda: self._store.dedicated_next(now)))

    async def _admit(self) -> None:
        now = self._clock.now()
        # Beyond the limit, as many as may be skipped below.
        most = 2 * self._limit + len(self.actors) + len(self._create_backoff)
        waiting = await self._blocking(lambda: self._store.dedicated_waiting(now, most))
        waiting = [row for row in waiting if row.instance_id not in self.actors and row not in self._create_backoff]
        admitted = waiting[: max(self._limit - len(self.actors), 0)]
        if admitted:
            await self._mark([row.instance_id for row in admitted])
            for row in admitted:
                self._spawn(self._create(row))
        short = len(waiting) - len(admitted)
        if short > 0:
            if not self._making_room:
                self._making_room = True
                self._spawn(self._make_room(short - self.actors.stopping))
            self._admit_soon()

    def _admit_soon(self) -> None:
        """Poll while instances wait for a place: a host does not report that it has come to a point where it merely waits."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_PRESSURE, self._admit_now)

    def _admit_now(self) -> None:
        self._soon = None
        self._spawn(self.admit())

    async def _make_room(self, short: int) -> None:
        """Ask those that merely wait to passivate, oldest first; each that does reports it, and the next is admitted."""
        try:
            for instance_id in self.actors.running():
                if short <= 0:
                    return
                short -= await self.passivate(instance_id)
        finally:
            self._making_room = False

    async def passivate(self, instance_id: str) -> bool:
        """Ask an actor to passivate, if its instance merely waits or has finished; whether it will. Bounded in time."""
        try:
            return await asyncio.wait_for(self.hosts.passivate(instance_id), _ANSWER_SECONDS)
        except Exception as error:
            log.info("the actor of %r does not answer whether it passivates: %r", instance_id, error)
            return False

    async def _get_or_create(self, instance_id: str) -> bool:
        while True:
            while self.has(instance_id) and not self.is_running(instance_id):
                await asyncio.sleep(
                    0.05
                )  # it is being created, or in doubt, or stopping and created again when it is gone
            row = (await self._blocking(lambda: self._store.rows([instance_id]))).get(instance_id)
            if row is None or row.placement != "dedicated":
                return False
            if self.is_running(instance_id):
                return True
            if not self.has(instance_id):
                await self._mark([instance_id])
                if not await self._create(row):
                    return False

    async def _mark(self, instance_ids: list[str]) -> None:
        """Take places for these and record it. Counted before it is written: a sweep clears a mark without an actor."""
        self.actors.reserve(instance_ids)
        try:
            await self._blocking(lambda: self._store.mark_resident(instance_ids))
        except BaseException:
            self.actors.release(instance_ids)
            self._admit_soon()  # those who saw meanwhile that they are being created rely on it
            raise

    async def _create(self, row: InstanceRow) -> bool:
        process = self.actors.get(row.instance_id)
        assert process is not None, "its place is reserved first"
        known = self._definition_cache.known_orchestrator(row.name, row.version)
        environment = self._definition_cache.runtime_env(row.environment)
        try:
            await self.hosts.create(row, known.options if known else None, environment)
        except Exception as error:
            log.warning("the actor of %r could not be created, trying again later: %s", row.instance_id, error)
            self._create_backoff.failed(row)
            self.actors.suspect(row.instance_id, process)
            await self._unopened.failed(row.host, [row.instance_id], error)
            return False
        self._create_backoff.succeeded(row.instance_id)
        await self._unopened.opened(row.host)
        await self.actors.created(row.instance_id, process)
        return True

    async def _vacate(self, instance_id: str) -> None:
        await until_answered(
            self._blocking,
            lambda: self._store.mark_resident([instance_id], False),
            f"recording that {instance_id!r} has no actor",
        )

    # --- reports of hosts -------------------------------------------------------------------------

    async def ended(self, instance_ids: Sequence[str]) -> None:
        """These instances have finished: if others wait for a place, their actors need not linger."""
        now = self._clock.now()
        waiting = await self._blocking(lambda: self._store.dedicated_waiting(now, 1))
        if waiting and len(self.actors) >= self._limit:
            for instance_id in instance_ids:
                if instance_id in self.actors:
                    await self.passivate(instance_id)

    async def passivating(self, instance_id: str) -> None:
        """The dedicated host of this instance passivates; its place is free when its actor is really gone."""
        process = self.actors.get(instance_id)
        if process is None:
            await self._vacate(instance_id)
            await self.admit()
        elif process.created:
            await self.actors.refused(instance_id, process)
        # Else it is about a predecessor, or what creates this one will find out.

    # --- upkeep -----------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Repair what a lost report left behind."""
        running = self.actors.running()
        alive = await self.hosts.alive()
        for instance_id in set(running) - set(alive):
            self.actors.missing(instance_id)
        await self._discover(alive)
        for instance_id in await self._blocking(self._store.residents):
            if instance_id not in self.actors:
                await self._vacate(instance_id)
        await self.admit()

    async def _discover(self, alive: Collection[str]) -> None:
        """These actors exist; unknown ones are counted and asked, if they are an instance's: others may use the namespace."""
        unknown = [instance_id for instance_id in alive if instance_id not in self.actors]
        if unknown:
            for row in (await self._blocking(lambda: self._store.rows(unknown))).values():
                if row.placement == "dedicated":
                    self.actors.discovered(row.instance_id)


#: Seconds before the second attempt, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
#: Pauses that are remembered when they are over: an instance that failed may have been terminated.
_MOST = 1_000


class CreateBackoff:
    """Backoff of executions whose actor could not be created. `over` is called whenever a pause ends."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        #: By ID of an instance that failed and has not succeeded since: which execution, and its pause.
        self._pauses: dict[str, tuple[str, float]] = {}
        self._waits: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def __contains__(self, row: InstanceRow) -> bool:
        """Whether it has to wait. A later execution of its ID need not: it may run other code."""
        return row.instance_id in self._waits and self._pauses[row.instance_id][0] == row.execution_id

    def failed(self, row: InstanceRow) -> None:
        """Its actor could not be created: back off, twice as long as the last time."""
        execution_id, pause = self._pauses.get(row.instance_id, ("", 0.0))
        pause = next_pause(pause if execution_id == row.execution_id else 0.0, _FIRST_PAUSE, _LONGEST_PAUSE)
        self.succeeded(row.instance_id)
        self._pauses[row.instance_id] = row.execution_id, pause
        if len(self._pauses) > _MOST + len(self._waits):
            del self._pauses[next(i for i in self._pauses if i not in self._waits)]
        self._waits[row.instance_id] = asyncio.get_running_loop().call_later(pause, self._try_again, row.instance_id)

    def succeeded(self, instance_id: str) -> None:
        """Its actor was created."""
        self._pauses.pop(instance_id, None)
        if (wait := self._waits.pop(instance_id, None)) is not None:
            wait.cancel()

    def _try_again(self, instance_id: str) -> None:
        del self._waits[instance_id]
        self._over()
