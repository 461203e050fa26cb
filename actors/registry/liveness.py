"""Noticing a process that does not answer, and having it replaced: a failure detector for hosts, workers and registry.

The registry sends a heartbeat to every process of the hub; a host that misses it looks after the registry. Ray sees that a
process has died, not that it is stopped (SIGSTOP, a debugger that went away): it counts as alive, and whoever needs it waits.

One that is stopped is ended after seconds, for it can be seen that it does nothing. One that is silent for another reason may
be in the middle of something (native code that keeps the interpreter's lock), and is left for minutes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from durable_ray.actors.clock import monotonic

log = logging.getLogger("durable_ray.registry")

#: Seconds in which a process answers, unless it cannot: its answer needs neither its event loop nor the store.
_ANSWER_SECONDS = 5.0
#: Seconds of silence after which it is looked at whether a process is stopped.
_STOPPED_SECONDS = 8.0
#: Looks, at least, at which one was silent before it is taken for hung: this process may itself have stood still.
_LOOKS = 3
#: Seconds from one heartbeat to the next, unless there are so many processes that more would be sent in a second.
_EVERY, _A_SECOND = 5.0, 20
#: A host looks after the registry when so many heartbeats, and some seconds that differ from host to host, are missing.
_MISSED, _SPREAD = 2, 3.0
#: Seconds after which a host that was not content looks again. One that was absent twice is made: its hub may be being stopped.
_AGAIN = 5.0


class Processes(Protocol):
    """The hub's processes, by the names of their actors."""

    async def answers(self, name: str, within: float) -> bool:
        """Returns True when it has answered; False if there is none. The next heartbeat comes `within` seconds."""

    async def end_stopped(self, name: str) -> bool:
        """End its process, for Ray to make another, if that is stopped; whether it was."""

    async def end_silent(self, name: str) -> None:
        """End its process, for Ray to make another, unless Ray is at that already."""


class Detector:
    """Since when which process has been silent, and what is done about it."""

    def __init__(self, processes: Processes, hung: Callable[[str], float | None]) -> None:
        """`hung`: seconds after which a process that is silent, and not stopped, is replaced; None: never."""
        self._processes = processes
        self._hung = hung
        #: Since when, and at how many looks.
        self._silent: dict[str, tuple[float, int]] = {}

    async def look(self, name: str, within: float = _EVERY, since: float | None = None) -> bool | None:
        """Whether there is such a process; None: it does not answer. `since`: when it was last heard of otherwise."""
        began = monotonic() if since is None else since
        try:
            there = await asyncio.wait_for(self._processes.answers(name, within), _ANSWER_SECONDS)
        except Exception as error:
            log.info("%s does not answer: %r", name, error)
        else:
            self._silent.pop(name, None)
            return there
        since, looks = self._silent.get(name, (began, 0))
        self._silent[name] = since, looks + 1
        silent, hung = monotonic() - since, self._hung(name)
        if silent >= _STOPPED_SECONDS and await self._processes.end_stopped(name):
            log.error("the process of %s is stopped and was silent for %.0f s; it is replaced", name, silent)
            del self._silent[name]
        elif hung is not None and silent >= hung and looks + 1 >= _LOOKS:
            log.error("the process of %s was silent for %.0f s; it is replaced", name, silent)
            del self._silent[name]
            await self._processes.end_silent(name)
        return None


async def send_heartbeats(
    detector: Detector, names: Callable[[], Awaitable[Collection[str]]], go_on: Callable[[], bool]
) -> None:
    """The registry's part: a heartbeat for each of `names`, one after the other and again and again."""
    looking: dict[str, asyncio.Task[object]] = {}

    async def look(name: str, within: float) -> None:
        try:
            await detector.look(name, within)
        except Exception:
            log.exception("%s could not be looked after", name)
        finally:
            del looking[name]

    while go_on():
        try:
            found = await names()
        except Exception as error:
            log.info("cannot see which processes there are: %s", error)
            found = ()
        every = max(_EVERY, len(found) / _A_SECOND)
        for name in found:
            if name not in looking:
                looking[name] = asyncio.create_task(look(name, every))
            await asyncio.sleep(every / len(found))
        if not found:
            await asyncio.sleep(every)


class RegistryWatch:
    """A host's part: when heartbeats stay out, the registry is asked, replaced if it is stopped, and made if it is gone."""

    def __init__(self, detector: Detector, registry: str, make: Callable[[], Awaitable[None]]) -> None:
        self._detector = detector
        self._registry = registry
        self._make = make
        self._last = self._due = 0.0
        self._absent = False
        self.heard(_EVERY)

    def heard(self, within: float) -> None:
        """The registry lives, and says so again `within` seconds. From any thread."""
        self._last = monotonic()
        self._due = self._last + _MISSED * within + random.uniform(0, _SPREAD)

    async def run(self) -> None:
        """Watch."""
        while True:
            await asyncio.sleep(max(self._due - monotonic(), 0.0))
            if self._due > monotonic():
                continue
            self._due = monotonic() + _AGAIN
            try:
                absent = await self._detector.look(self._registry, since=self._last) is False
                if absent and self._absent:
                    log.warning("the hub has no registry; one is made")
                    await self._make()
                self._absent = absent
            except Exception as error:
                log.warning("the registry cannot be looked after, trying again: %s", error)
