"""Which dedicated instances have a process, as far as the registry has heard, and what it does where it is in doubt.

A place is taken from the moment in which a process is to be made until its name is free. A process that leaves is told of
nothing any more but is still there, and may change its mind; one that crashed may come back. Neither is counted out on
hearsay: its name is looked for, and it is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

from durable_ray.actors.placing import dedicated_host

log = logging.getLogger("durable_ray.registry")

#: Seconds between two looks whether a process that leaves is away, and how long it is waited for: then it is stuck.
_AWAY, _LEAVE_SECONDS = 0.02, 15.0


class Actors(Protocol):
    """Processes of dedicated instances, seen from outside."""

    async def alive(self) -> Collection[str]:
        """IDs of the dedicated instances that have an actor now."""

    async def nudge(self, host: str, instance_ids: Sequence[str]) -> bool:
        """Tell a host to look into the store; False if it is not there or is leaving."""


class Process:
    """The actor of a dedicated instance."""

    __slots__ = ("answers", "doubted", "there")

    def __init__(self, *, answers: bool = False) -> None:
        #: Callers may be sent straight to it.
        self.answers = answers
        #: It has come, and can be told of mail.
        self.there = answers
        #: It leaves, or could not be told of mail; whether it is away is being found out.
        self.doubted = False


class Presence:
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
        self._processes: dict[str, Process] = {}

    def __len__(self) -> int:
        return len(self._processes)

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._processes

    @property
    def settled(self) -> bool:
        """Whether every process answers: none is being made, none leaves."""
        return all(process.answers for process in self._processes.values())

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

    def find(self, instance_ids: Iterable[str]) -> None:
        """These were there before anybody counted."""
        self._processes = {instance_id: Process(answers=True) for instance_id in instance_ids}

    def expect(self, instance_ids: Iterable[str]) -> None:
        """These are being given a process."""
        self._processes.update((instance_id, Process()) for instance_id in instance_ids)

    def give_up(self, instance_ids: Iterable[str]) -> None:
        """These are not given a process after all."""
        for instance_id in instance_ids:
            self._processes.pop(instance_id, None)

    async def arrived(self, instance_id: str, process: Process | None) -> None:
        """Its actor was made, and answers.

        Mail that came meanwhile was acknowledged, and the process may have looked before, or may be an older one that was
        there all the time. It must know before anybody is sent straight to it.
        """
        if process is None:
            return
        process.there = True
        heard = await self._actors.nudge(dedicated_host(instance_id), [instance_id])
        if self._processes.get(instance_id) is not process or process.doubted:
            return  # it has come and gone, or is about to go
        if heard:
            self._answers(instance_id, process)
        else:
            self.doubt(instance_id, process)

    def _answers(self, instance_id: str, process: Process) -> None:
        process.answers, process.doubted = True, False
        self._reached([instance_id])

    # --- departure --------------------------------------------------------------------------------

    def stranger(self, instance_id: str) -> None:
        """There is an actor nobody knew of. It counts, but who knows what became of it since it was seen?"""
        if instance_id not in self._processes:
            process = self._processes[instance_id] = Process()
            self.doubt(instance_id, process)

    def check(self, instance_id: str) -> None:
        """Its name was not found among the living; by now it may have gone, and another may be on its way."""
        if self.holds(instance_id):
            self.doubt(instance_id, self._processes[instance_id])

    def doubt(self, instance_id: str, process: Process | None) -> None:
        """`process` could not be told of mail: nobody is sent to it until it is known whether it stays."""
        if process is not None and self._processes.get(instance_id) is process:
            process.answers = False
            self._spawn(self.part(instance_id, process))

    async def part(self, instance_id: str, process: Process) -> None:
        """It leaves, or so it seems: when it is away, its place is another's."""
        await self.ascertain(instance_id, process)
        await self._freed()

    async def ascertain(self, instance_id: str, process: Process) -> None:
        """Wait until a process that leaves is really away, or answers: it may have been restarted, or have found in the
        last moment that it has something to do.

        Until then its place is taken. Were it free as soon as the process cannot be told of mail, there would be one
        process more than the limit allows, for as long as Ray takes to end it.
        """
        if process.doubted:
            return
        process.doubted, process.answers = True, False
        process.there = True  # from the moment in which it answers, it must hear of all mail
        loop = asyncio.get_running_loop()
        end = loop.time() + _LEAVE_SECONDS
        while not await self._away(instance_id):
            if self._processes.get(instance_id) is not process:
                return
            if await self._told(instance_id):
                self._answers(instance_id, process)
                return
            if loop.time() > end:
                log.warning("the actor of %r neither answers nor ends; its place is given to others", instance_id)
                break
            await asyncio.sleep(_AWAY)
        await self._gone(instance_id, process)

    async def _gone(self, instance_id: str, process: Process) -> None:
        """It is away. The store is told before its place is free: a successor's mark must not be taken for its own."""
        try:
            await self._vacate(instance_id)
        finally:
            if self._processes.get(instance_id) is process:
                del self._processes[instance_id]

    async def _away(self, instance_id: str) -> bool:
        try:
            return instance_id not in await self._actors.alive()
        except Exception as error:
            log.debug("cannot see whether %r has an actor: %s", instance_id, error)
            return False

    async def _told(self, instance_id: str) -> bool:
        try:
            return await self._actors.nudge(dedicated_host(instance_id), [instance_id])
        except Exception as error:
            log.debug("the actor of %r cannot be told of mail: %s", instance_id, error)
            return False
