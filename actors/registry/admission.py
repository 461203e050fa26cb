"""Which dedicated instances have a process: as many as the limit allows, by priority and age, and who is asked for by name.

The truth is a query (`dedicated_waiting`: due, by priority and age), asked on every nudge and in every sweep; what is kept
in memory is only who is alive. Under pressure, hosts that merely wait are asked to leave, oldest first, so that parents
waiting for dedicated children cannot lock each other out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol

from durable_ray.actors.clock import Alarm, Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.registry.actor_lifecycle import ActorLifecycle, Actors
from durable_ray.actors.registry.unopened import WaitingForHosts
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.records import InstanceRow, is_queued
from durable_ray.actors.store.retrying import until_answered
from durable_ray.orchestrations.authoring.options import OrchestratorOptions

log = logging.getLogger("durable_ray.registry")

#: Seconds between two looks for hosts that could make way for those that wait.
_PRESSURE = 0.25

#: Seconds in which a process says whether it leaves, unless it cannot.
_ANSWER_SECONDS = 5.0


class Hosts(Actors, Protocol):
    """Processes of hosts: made, found, spoken to. Nothing here raises for a host that died meanwhile."""

    async def ensure_partition(self, host: str, runtime_env: str | None) -> None:
        """Make sure that a partition's actor exists; a new one revives what it finds in the store."""

    async def create(self, row: InstanceRow, options: OrchestratorOptions | None, runtime_env: str | None) -> None:
        """Give a dedicated instance its actor; returns when it answers. Raises if it cannot be had."""

    async def ask_to_leave(self, instance_id: str) -> bool:
        """Ask a dedicated host to leave memory if its instance merely waits or has finished; whether it will."""

    async def deployed(self, host: str) -> None:
        """Tell a host that something was deployed, if it has a process."""


class Admission:
    """Who of the dedicated instances is alive, and who is next."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        hosts: Hosts,
        waiters: Waiters,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        spawn: Callable[[Any], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._definition_cache = definition_cache
        self._hosts = hosts
        self._blocking = blocking
        self._spawn = spawn
        self._limit = settings.dedicated_limit()
        self._present = ActorLifecycle(hosts, self._vacate, self.admit, waiters.moved, spawn)
        self._looking = False
        self._look_again = False
        self._alarm: Alarm | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._making_room = False
        self._unopened = WaitingForHosts(store, blocking)
        self._create_backoff = CreateBackoff(lambda: self._spawn(self.admit()))

    @property
    def idle(self) -> bool:
        """Whether nobody is being admitted."""
        return not self._looking and self._present.settled

    def holds(self, instance_id: str) -> bool:
        """Whether this dedicated instance has an actor that answers."""
        return self._present.holds(instance_id)

    def has(self, instance_id: str) -> bool:
        """Whether this dedicated instance has an actor, or is being given one."""
        return instance_id in self._present

    async def open(self) -> None:
        """Find out who is alive."""
        await self._meet(await self._hosts.alive())
        lost = [i for i in await self._blocking(self._store.residents) if i not in self._present]
        if lost:
            await self._blocking(lambda: self._store.mark_resident(lost, False))

    def ready(self) -> list[str]:
        """Those whose actor answers, the oldest first."""
        return self._present.ready()

    async def tell(self, instance_id: str, what: Sequence[str]) -> bool:
        """There is mail for these: returns when this instance's actor knows; False if there is none to be told."""
        process = self._present.get(instance_id)
        if process is None or not process.there:
            return False
        await self._present.tell(instance_id, process, what)
        return True

    # --- admission --------------------------------------------------------------------------------

    async def ensure(self, instance_id: str) -> bool:
        """Make sure that this instance has an actor, whatever the limit: somebody asks for it. False if there is no such
        instance, or its actor cannot be made."""
        process = self._present.get(instance_id)
        if process is not None and process.answers:
            await self._present.tell(instance_id, process, [instance_id])
        return await self._bring(instance_id)

    async def admit(self) -> None:
        """Give a process to those that should have one, as far as the limit allows."""
        self._look_again = True
        if self._looking:
            return
        self._looking = True
        try:
            while self._look_again:
                self._look_again = False
                await self._admit()
        except Exception:
            self._look_soon()  # whoever asked meanwhile relies on this look
            raise
        finally:
            self._looking = False
        await self._set_alarm()

    async def _admit(self) -> None:
        now = self._clock.now()
        # So many more as may be passed over.
        most = 2 * self._limit + len(self._present) + len(self._create_backoff)
        waiting = await self._blocking(lambda: self._store.dedicated_waiting(now, most))
        waiting = [row for row in waiting if row.instance_id not in self._present and row not in self._create_backoff]
        admitted = waiting[: max(self._limit - len(self._present), 0)]
        if admitted:
            await self._mark([row.instance_id for row in admitted])
            for row in admitted:
                self._spawn(self._create(row))
        short = len(waiting) - len(admitted)
        if short > 0:
            if not self._making_room:
                self._making_room = True
                self._spawn(self._make_room(short - self._present.leaving))
            self._look_soon()

    def _look_soon(self) -> None:
        """While somebody waits for a process, look again and again who could make way: a host says nothing when it has
        come to a point where it merely waits."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_PRESSURE, self._look_now)

    def _look_now(self) -> None:
        self._soon = None
        self._spawn(self.admit())

    async def _make_room(self, short: int) -> None:
        """Ask those that merely wait to leave, oldest first; each that leaves says so, and the next is admitted."""
        try:
            for instance_id in self._present.ready():
                if short <= 0:
                    return
                short -= await self.makes_way(instance_id)
        finally:
            self._making_room = False

    async def makes_way(self, instance_id: str) -> bool:
        """Ask a process to leave, if its instance merely waits or has finished; whether it will. Not for ever."""
        try:
            return await asyncio.wait_for(self._hosts.ask_to_leave(instance_id), _ANSWER_SECONDS)
        except Exception as error:
            log.info("the actor of %r does not say whether it leaves: %r", instance_id, error)
            return False

    async def _bring(self, instance_id: str) -> bool:
        while True:
            while self.has(instance_id) and not self.holds(instance_id):
                await asyncio.sleep(0.05)  # it is being made; or it leaves, and is made when it is away
            row = (await self._blocking(lambda: self._store.rows([instance_id]))).get(instance_id)
            if row is None or row.placement != "dedicated":
                return False
            if self.holds(instance_id):
                return True
            if not self.has(instance_id):
                await self._mark([instance_id])
                if not await self._create(row):
                    return False

    async def _mark(self, instance_ids: list[str]) -> None:
        """These are being given a process. Counted before it is written: a sweep takes a mark without a process away."""
        self._present.expect(instance_ids)
        try:
            await self._blocking(lambda: self._store.mark_resident(instance_ids))
        except BaseException:
            self._present.give_up(instance_ids)
            self._look_soon()  # whoever was told meanwhile that they are being made relies on it
            raise

    async def _create(self, row: InstanceRow) -> bool:
        process = self._present.get(row.instance_id)
        assert process is not None, "it is marked first"
        known = self._definition_cache.known_orchestrator(row.name, row.version)
        environment = self._definition_cache.runtime_env(row.environment)
        try:
            await self._hosts.create(row, known.options if known else None, environment)
        except Exception as error:
            log.warning("the actor of %r could not be made, trying again later: %s", row.instance_id, error)
            self._create_backoff.failed(row)
            self._present.doubt(row.instance_id, process)
            await self._unopened.failed(row.host, [row.instance_id], error)
            return False
        self._create_backoff.came(row.instance_id)
        await self._unopened.came(row.host)
        await self._present.arrived(row.instance_id, process)
        return True

    async def _vacate(self, instance_id: str) -> None:
        await until_answered(
            self._blocking,
            lambda: self._store.mark_resident([instance_id], False),
            f"noting that {instance_id!r} is away",
        )

    # --- words from hosts -------------------------------------------------------------------------

    async def ended(self, instance_ids: Sequence[str]) -> None:
        """These have finished: if others wait, their actors need not linger."""
        now = self._clock.now()
        waiting = await self._blocking(lambda: self._store.dedicated_waiting(now, 1))
        if waiting and len(self._present) >= self._limit:
            for instance_id in instance_ids:
                if instance_id in self._present:
                    await self.makes_way(instance_id)

    async def left(self, instance_id: str) -> None:
        """The dedicated host of this instance leaves memory; its place is free when its process is really away."""
        process = self._present.get(instance_id)
        if process is None:
            await self._vacate(instance_id)
            await self.admit()
        elif process.there:
            await self._present.goodbye(instance_id, process)
        # Else the word is about a predecessor, or who makes this one will find out.

    # --- upkeep -----------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Find what a lost word left behind."""
        ready = self._present.ready()
        alive = await self._hosts.alive()
        for instance_id in set(ready) - set(alive):
            self._present.missed(instance_id)
        await self._meet(alive)
        for instance_id in await self._blocking(self._store.residents):
            if instance_id not in self._present:
                await self._vacate(instance_id)
        await self.admit()

    async def _meet(self, alive: Collection[str]) -> None:
        """There are these actors; those of instances that nobody knew of are asked. Others may be anybody's."""
        unknown = [instance_id for instance_id in alive if instance_id not in self._present]
        if unknown:
            for row in (await self._blocking(lambda: self._store.rows(unknown))).values():
                if row.placement == "dedicated":
                    self._present.stranger(row.instance_id)

    async def _set_alarm(self) -> None:
        now = self._clock.now()
        due = await self._blocking(lambda: self._store.dedicated_next(now))
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if due is not None and due > self._clock.now() and not is_queued(due):
            self._alarm = self._clock.wake(due, lambda: self._spawn(self.admit()))


#: Seconds before the second attempt, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
#: Pauses that are remembered when they are over: whoever failed may have been ended, and never come.
_MOST = 1_000


class CreateBackoff:
    """Executions that are passed over for now. `over` is called whenever one need not be any more."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        #: Of whoever failed and has not come since, by ID: which execution, and how long it is put off.
        self._pauses: dict[str, tuple[str, float]] = {}
        self._waits: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def __contains__(self, row: InstanceRow) -> bool:
        """Whether it has to wait. A later life of its ID need not: it may be another's code."""
        return row.instance_id in self._waits and self._pauses[row.instance_id][0] == row.execution_id

    def failed(self, row: InstanceRow) -> None:
        """What keeps its actor from being made may last."""
        execution_id, pause = self._pauses.get(row.instance_id, ("", 0.0))
        again = pause if execution_id == row.execution_id else 0.0
        pause = min(2 * again, _LONGEST_PAUSE) if again else _FIRST_PAUSE
        self.came(row.instance_id)
        self._pauses[row.instance_id] = row.execution_id, pause
        if len(self._pauses) > _MOST + len(self._waits):
            del self._pauses[next(i for i in self._pauses if i not in self._waits)]
        self._waits[row.instance_id] = asyncio.get_running_loop().call_later(pause, self._try_again, row.instance_id)

    def came(self, instance_id: str) -> None:
        """Its actor is there."""
        self._pauses.pop(instance_id, None)
        if (wait := self._waits.pop(instance_id, None)) is not None:
            wait.cancel()

    def _try_again(self, instance_id: str) -> None:
        del self._waits[instance_id]
        self._over()
