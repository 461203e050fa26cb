"""The lifecycle of the actors of dedicated instances: which exist, which answer, and what is done about one in doubt.

A place (of `max_dedicated`) is taken from the moment in which an actor is to be created until its name is free. An actor that
is stopping accepts no more notifications but still exists, and may stay after all; one that crashed may be restarted by Ray.
Neither frees its place because of a report alone: its name is listed, and it is asked.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.store.background import Spawn, next_pause

log = logging.getLogger("durable_ray.registry")

#: Seconds between two checks of an actor in doubt: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
#: Seconds in which an actor answers, unless it cannot.
_ANSWER_SECONDS = 5.0
#: Seconds, after those, for which a message is not acknowledged because its host cannot be reached.
_REACH_SECONDS = 5.0
#: Seconds in which an actor that is stopping has ended, unless it is stuck.
_STOP_SECONDS = 15.0


class ActorState(enum.Enum):
    """Where an actor is in its life. It is removed once its name is free."""

    #: It is being created; callers may not be sent to it yet.
    STARTING = enum.auto()
    #: It answers: callers may be sent straight to it.
    RUNNING = enum.auto()
    #: It may have died, or cannot be reached: it is asked until it answers or its name is free.
    SUSPECT = enum.auto()
    #: It has reported that it passivates, or refused a notification: it is asked until it accepts one or its name is free.
    STOPPING = enum.auto()


class ActorEvent(enum.Enum):
    """What becomes known of an actor."""

    #: It was notified and stays.
    ACCEPTED = enum.auto()
    #: It passivates, and takes no more notifications.
    REFUSED = enum.auto()
    #: It was asked in vain, or its answer is out of date.
    UNKNOWN = enum.auto()
    #: There is reason to ask it.
    DOUBTED = enum.auto()


_STARTING, _RUNNING, _SUSPECT, _STOPPING = ActorState

#: state -> event -> next state.
TRANSITIONS: dict[ActorState, dict[ActorEvent, ActorState]] = {
    _STARTING: {
        ActorEvent.ACCEPTED: _RUNNING,
        ActorEvent.REFUSED: _STOPPING,
        ActorEvent.DOUBTED: _SUSPECT,
    },
    _RUNNING: {
        ActorEvent.ACCEPTED: _RUNNING,
        ActorEvent.REFUSED: _STOPPING,
        ActorEvent.DOUBTED: _SUSPECT,
    },
    _SUSPECT: {
        ActorEvent.ACCEPTED: _RUNNING,
        ActorEvent.REFUSED: _STOPPING,
        ActorEvent.UNKNOWN: _SUSPECT,
        ActorEvent.DOUBTED: _SUSPECT,
    },
    _STOPPING: {
        ActorEvent.ACCEPTED: _RUNNING,
        ActorEvent.REFUSED: _STOPPING,
        ActorEvent.UNKNOWN: _SUSPECT,
        ActorEvent.DOUBTED: _STOPPING,
    },
}


class Unreachable(Exception):
    """A process that may live does not answer; the call may or may not have been made."""


class Actors(Protocol):
    """Actors of dedicated instances, seen from outside."""

    async def alive(self) -> Collection[str]:
        """IDs of the dedicated instances that have an actor now."""

    async def notify(self, host: str, instance_ids: Sequence[str]) -> bool:
        """Notify a host that the store has something for these; False if it is absent or stopping. Raises Unreachable."""

    async def end(self, instance_id: str) -> None:
        """Kill the actor of a dedicated instance that does not end by itself."""


class InstanceProcess:
    """The actor of a dedicated instance, as the registry knows it."""

    __slots__ = ("created", "doubts", "resolved", "state")

    def __init__(self) -> None:
        self.state = ActorState.STARTING
        #: It is known to exist, and is notified of messages.
        self.created = False
        #: How often there was reason to doubt: an answer from before the last time does not count.
        self.doubts = 0
        #: In doubt since: done when it is known to be running, or gone.
        self.resolved: asyncio.Future[None] | None = None

    def apply(self, event: ActorEvent) -> None:
        """Go to the next state."""
        self.state = TRANSITIONS[self.state][event]


class ActorLifecycle:
    """The actors that take a place, in the order in which they came."""

    def __init__(
        self,
        actors: Actors,
        vacate: Callable[[str], Awaitable[Any]],
        freed: Callable[[], Awaitable[None]],
        reached: Callable[[Iterable[str]], None],
        spawn: Spawn,
    ) -> None:
        """`vacate` records in the store that an instance has no actor, `freed` gives its place to another; `reached` sends
        those who wait for an instance to its actor."""
        self._actors = actors
        self._vacate = vacate
        self._freed = freed
        self._reached = reached
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._processes: dict[str, InstanceProcess] = {}
        #: The names that the last listing found, and when it began.
        self._listed: Collection[str] = ()
        self._listed_at = 0.0
        self._listing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._processes)

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._processes

    @property
    def all_running(self) -> bool:
        """Whether no actor is being created, stopping or in doubt."""
        return all(process.state is _RUNNING for process in self._processes.values())

    @property
    def stopping(self) -> int:
        """How many are about to free their place."""
        return sum(process.state is _STOPPING for process in self._processes.values())

    def get(self, instance_id: str) -> InstanceProcess | None:
        """The actor of this instance; None if it has none and is not being given one."""
        return self._processes.get(instance_id)

    def is_running(self, instance_id: str) -> bool:
        """Whether this instance has an actor that answers."""
        process = self._processes.get(instance_id)
        return process is not None and process.state is _RUNNING

    def running(self) -> list[str]:
        """Those that answer, the oldest first."""
        return [instance_id for instance_id, process in self._processes.items() if process.state is _RUNNING]

    # --- creation ---------------------------------------------------------------------------------

    def reserve(self, instance_ids: Iterable[str]) -> None:
        """Take a place for each of these: their actors are being created."""
        self._processes.update((instance_id, InstanceProcess()) for instance_id in instance_ids)

    def release(self, instance_ids: Iterable[str]) -> None:
        """Free the places of these: their actors are not created after all."""
        for instance_id in instance_ids:
            self._processes.pop(instance_id, None)

    async def created(self, instance_id: str, process: InstanceProcess) -> None:
        """Its actor was created, and answers.

        Messages that came meanwhile were acknowledged, and the actor may have read its inbox before, or may be an older one
        that was there all the time. It must be notified before callers are sent straight to it.
        """
        process.created = True
        accepted = await self._notified(instance_id)
        if process.resolved is None:
            if accepted:
                self._accepted(instance_id, process)
            else:
                self.suspect(instance_id, process)

    def discovered(self, instance_id: str) -> None:
        """There is an actor that was not known. It takes a place; what it was notified of, and whether it stays, is asked."""
        if instance_id not in self._processes:
            process = self._processes[instance_id] = InstanceProcess()
            process.created = True
            self.suspect(instance_id, process)

    # --- notification -----------------------------------------------------------------------------

    async def notify(self, instance_id: str, process: InstanceProcess, what: Sequence[str]) -> None:
        """Returns when it has been notified of these (as `Actors.notify`), or when it is stopping or gone: its successor
        reads the whole inbox, and so does one that stays after all.

        Where neither is known, that has to be found out first; but one that cannot be reached for so long will hardly be
        reached by the next event before it is notified of this one.
        """
        try:
            if not await asyncio.wait_for(self._actors.notify(dedicated_host(instance_id), what), _ANSWER_SECONDS):
                self.refused(instance_id, process)
        except Exception as error:
            log.info("the actor of %r cannot be notified: %r", instance_id, error)
            await asyncio.wait([self.suspect(instance_id, process)], timeout=_REACH_SECONDS)

    # --- doubt ------------------------------------------------------------------------------------

    def refused(self, instance_id: str, process: InstanceProcess) -> asyncio.Future[None]:
        """It passivates, or does not accept a notification. As `suspect`."""
        process.apply(ActorEvent.REFUSED)
        return self.suspect(instance_id, process)

    def suspect(self, instance_id: str, process: InstanceProcess) -> asyncio.Future[None]:
        """Send no callers to `process` until it is known whether it stays: then what this returns is done."""
        process.apply(ActorEvent.DOUBTED)
        process.doubts += 1
        resolved = process.resolved
        if resolved is None:
            resolved = process.resolved = self._loop.create_future()
            if self._processes.get(instance_id) is process:
                self._spawn(self._resolve(instance_id, process, resolved))
            else:
                resolved.set_result(None)  # it was removed before
        return asyncio.shield(resolved)

    def missing(self, instance_id: str) -> None:
        """Its name was not among those of the living actors; by now another may be starting."""
        if self.is_running(instance_id):
            self.suspect(instance_id, self._processes[instance_id])

    async def _resolve(self, instance_id: str, process: InstanceProcess, resolved: asyncio.Future[None]) -> None:
        """Wait until an actor is really gone, or answers: it may have been restarted, or have found in the last moment
        that it has something to do.

        Until then its place is taken. Were it free as soon as the actor takes no more messages, there would be one process
        more than the limit allows, for as long as Ray takes to end it.
        """
        try:
            if not await self._stays(instance_id, process):
                await self._vacate(instance_id)
                # Nothing else removes one in doubt. After the store knows: a successor's mark must not be taken for its.
                del self._processes[instance_id]
                await self._freed()
        finally:
            resolved.set_result(None)

    async def _stays(self, instance_id: str, process: InstanceProcess) -> bool:
        pause, refused_since = 0.0, None
        while True:
            if await self._name_is_free(instance_id):
                return False
            doubts = process.doubts
            accepted = await self._notified(instance_id)
            if accepted and process.created and process.doubts == doubts:
                process.resolved = None
                self._accepted(instance_id, process)
                return True
            process.apply(ActorEvent.REFUSED if accepted is False else ActorEvent.UNKNOWN)
            if accepted:
                # It exists, but was not notified of what came before that was known: once more.
                process.created = True
            refused_since = (refused_since or self._loop.time()) if accepted is False else None
            if refused_since is not None and self._loop.time() - refused_since > _STOP_SECONDS:
                await self._end(instance_id)
                refused_since = None
            pause = next_pause(pause, _FIRST_PAUSE, _LONGEST_PAUSE, 1.5)
            await asyncio.sleep(pause)

    def _accepted(self, instance_id: str, process: InstanceProcess) -> None:
        process.apply(ActorEvent.ACCEPTED)
        self._reached([instance_id])

    async def _name_is_free(self, instance_id: str) -> bool:
        """Whether no actor has its name, by a listing that began after this was asked; many share one."""
        asked = self._loop.time()
        async with self._listing:
            if self._listed_at < asked:
                began = self._loop.time()
                try:
                    self._listed = await self._actors.alive()
                except Exception as error:
                    log.info("cannot list which instances have an actor: %s", error)
                    return False
                self._listed_at = began
            return instance_id not in self._listed

    async def _end(self, instance_id: str) -> None:
        log.warning("the actor of %r is stopping and does not end; it is killed", instance_id)
        try:
            await self._actors.end(instance_id)
        except Exception as error:
            log.warning("the actor of %r cannot be killed: %s", instance_id, error)

    async def _notified(self, instance_id: str) -> bool | None:
        """Whether it accepts a notification; None: it cannot be reached."""
        try:
            notify = self._actors.notify(dedicated_host(instance_id), [instance_id])
            return await asyncio.wait_for(notify, _ANSWER_SECONDS)
        except Exception as error:
            log.debug("the actor of %r does not answer: %r", instance_id, error)
            return None
