"""Which dedicated instances have a process, as far as the registry has heard, and what it does where it is in doubt.

A place is taken from the moment in which a process is to be made until its name is free. A process that leaves takes no more
mail but is still there, and may change its mind; one that crashed may come back. Neither is counted out on hearsay: its name
is looked for, and it is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

from durable_ray.actors.instances.placement import dedicated_host

log = logging.getLogger("durable_ray.registry")

#: Seconds between two looks at a process in doubt: at first, and at last.
_SOON, _LATE = 0.02, 0.5
#: Seconds in which a process answers, unless it cannot.
_ANSWER_SECONDS = 5.0
#: Seconds, after those, for which mail is not acknowledged because its reader cannot be reached.
_REACH_SECONDS = 5.0
#: Seconds in which a process that leaves is away, unless it is stuck.
_LEAVE_SECONDS = 15.0


class Unreachable(Exception):
    """A process that may live does not answer; the call may or may not have been made."""


class Actors(Protocol):
    """Processes of dedicated instances, seen from outside."""

    async def alive(self) -> Collection[str]:
        """IDs of the dedicated instances that have an actor now."""

    async def notify(self, host: str, instance_ids: Sequence[str]) -> bool:
        """Tell a host to look into the store; False if it is not there or is leaving. Raises Unreachable."""

    async def end(self, instance_id: str) -> None:
        """End the process of a dedicated instance that does not end by itself."""


class Process:
    """The actor of a dedicated instance."""

    __slots__ = ("again", "answers", "doubt", "leaves", "there")

    def __init__(self) -> None:
        #: Callers may be sent straight to it.
        self.answers = False
        #: It has come, and is told of mail.
        self.there = False
        #: It has said so, or took no more mail when it was last asked.
        self.leaves = False
        #: It leaves, or cannot be told of mail. Done when it has been told, or is away.
        self.doubt: asyncio.Future[None] | None = None
        #: There was reason to doubt while it was asked: what it says then does not count.
        self.again = False


class ActorLifecycle:
    """The processes that take a place, in the order in which they came."""

    def __init__(
        self,
        actors: Actors,
        vacate: Callable[[str], Awaitable[Any]],
        freed: Callable[[], Awaitable[None]],
        reached: Callable[[Iterable[str]], None],
        spawn: Callable[[Any], None],
    ) -> None:
        """`vacate` notes in the store that an instance has no process, `freed` gives its place to another; callers who
        wait for an instance are told that it can be `reached`."""
        self._actors = actors
        self._vacate = vacate
        self._freed = freed
        self._reached = reached
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._processes: dict[str, Process] = {}
        #: What the last look at all names saw, and when it began.
        self._seen: Collection[str] = ()
        self._seen_at = 0.0
        self._looking = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._processes)

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._processes

    @property
    def settled(self) -> bool:
        """Whether every process answers: none is being made, none leaves."""
        return all(process.answers for process in self._processes.values())

    @property
    def leaving(self) -> int:
        """How many are about to free their place."""
        return sum(process.leaves for process in self._processes.values())

    def get(self, instance_id: str) -> Process | None:
        """The process of this instance; None if it has none and is not being given one."""
        return self._processes.get(instance_id)

    def holds(self, instance_id: str) -> bool:
        """Whether this instance has a process that answers."""
        process = self._processes.get(instance_id)
        return process is not None and process.answers

    def ready(self) -> list[str]:
        """Those that answer, the oldest first."""
        return [instance_id for instance_id, process in self._processes.items() if process.answers]

    # --- arrival ----------------------------------------------------------------------------------

    def expect(self, instance_ids: Iterable[str]) -> None:
        """These are being given a process."""
        self._processes.update((instance_id, Process()) for instance_id in instance_ids)

    def give_up(self, instance_ids: Iterable[str]) -> None:
        """These are not given a process after all."""
        for instance_id in instance_ids:
            self._processes.pop(instance_id, None)

    async def arrived(self, instance_id: str, process: Process) -> None:
        """Its actor was made, and answers.

        Mail that came meanwhile was acknowledged, and the process may have looked before, or may be an older one that was
        there all the time. It must know before anybody is sent straight to it.
        """
        process.there = True
        told = await self._told(instance_id)
        if process.doubt is None:
            if told:
                self._answers(instance_id, process)
            else:
                self.doubt(instance_id, process)

    def stranger(self, instance_id: str) -> None:
        """There is an actor nobody knew of. It counts, but who knows what it has been told, and what became of it?"""
        if instance_id not in self._processes:
            process = self._processes[instance_id] = Process()
            process.there = True
            self.doubt(instance_id, process)

    # --- mail -------------------------------------------------------------------------------------

    async def tell(self, instance_id: str, process: Process, what: Sequence[str]) -> None:
        """Returns when it has been told of this (what `Actors.nudge` takes), or when it is leaving or gone: who comes after
        it reads all, and so does one that stays after all.

        Where neither is known, that has to be found out first; but one that nobody reaches for so long will hardly be
        reached by the next event before it is told of this one.
        """
        try:
            if not await asyncio.wait_for(self._actors.notify(dedicated_host(instance_id), what), _ANSWER_SECONDS):
                process.leaves = True
                self.doubt(instance_id, process)
        except Exception as error:
            log.info("the actor of %r cannot be told of mail: %r", instance_id, error)
            await asyncio.wait([self.doubt(instance_id, process)], timeout=_REACH_SECONDS)

    # --- departure --------------------------------------------------------------------------------

    async def goodbye(self, instance_id: str, process: Process) -> None:
        """It says that it leaves."""
        process.leaves = True
        await self.doubt(instance_id, process)

    def doubt(self, instance_id: str, process: Process) -> asyncio.Future[None]:
        """Nobody is sent to `process` until it is known whether it stays: then the answer is done."""
        process.answers, process.again = False, True
        doubt = process.doubt
        if doubt is None:
            doubt = process.doubt = self._loop.create_future()
            if self._processes.get(instance_id) is process:
                self._spawn(self._ascertain(instance_id, process, doubt))
            else:
                doubt.set_result(None)  # it has gone before
        return asyncio.shield(doubt)

    def missed(self, instance_id: str) -> None:
        """Its name was not among those of the living; by now another may be on its way."""
        if self.holds(instance_id):
            self.doubt(instance_id, self._processes[instance_id])

    async def _ascertain(self, instance_id: str, process: Process, doubt: asyncio.Future[None]) -> None:
        """Wait until a process is really away, or answers: it may have been restarted, or have found in the last moment
        that it has something to do.

        Until then its place is taken. Were it free as soon as the process takes no more mail, there would be one process
        more than the limit allows, for as long as Ray takes to end it.
        """
        try:
            if not await self._stays(instance_id, process):
                await self._vacate(instance_id)
                # Nobody else removes one in doubt. After the store knows: a successor's mark is not to be taken for its.
                del self._processes[instance_id]
                await self._freed()
        finally:
            doubt.set_result(None)

    async def _stays(self, instance_id: str, process: Process) -> bool:
        pause, refused_since = _SOON, None
        while True:
            if await self._away(instance_id):
                return False
            process.again = False
            told = await self._told(instance_id)
            process.leaves = told is False
            if told and not process.there:
                # What came before it was known to be there was not brought to it.
                process.there = True
            elif told and not process.again:
                process.doubt = None
                self._answers(instance_id, process)
                return True
            refused_since = (refused_since or self._loop.time()) if told is False else None
            if refused_since is not None and self._loop.time() - refused_since > _LEAVE_SECONDS:
                await self._end(instance_id)
                refused_since = None
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LATE)

    def _answers(self, instance_id: str, process: Process) -> None:
        process.answers = True
        self._reached([instance_id])

    async def _away(self, instance_id: str) -> bool:
        """Whether nobody has its name, by a look that began after this was asked; many share one."""
        asked = self._loop.time()
        async with self._looking:
            if self._seen_at < asked:
                began = self._loop.time()
                try:
                    self._seen = await self._actors.alive()
                except Exception as error:
                    log.info("cannot see which instances have an actor: %s", error)
                    return False
                self._seen_at = began
            return instance_id not in self._seen

    async def _end(self, instance_id: str) -> None:
        log.warning("the actor of %r leaves and does not end; it is ended", instance_id)
        try:
            await self._actors.end(instance_id)
        except Exception as error:
            log.warning("the actor of %r cannot be ended: %s", instance_id, error)

    async def _told(self, instance_id: str) -> bool | None:
        """None: it cannot be reached, so who knows."""
        try:
            notify = self._actors.notify(dedicated_host(instance_id), [instance_id])
            return await asyncio.wait_for(notify, _ANSWER_SECONDS)
        except Exception as error:
            log.debug("the actor of %r does not answer: %r", instance_id, error)
            return None
