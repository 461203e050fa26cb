"""The failure detector for hosts, workers and registry: finds a process that does not answer, and has it replaced.

The registry sends a heartbeat to every process of the hub; a host that misses it checks the registry. Ray notices that a
process has died, not that it is stopped (SIGSTOP, an abandoned debugger): it counts as alive, and its callers wait.

One that is stopped is killed after seconds, for it certainly does nothing. One that is silent for another reason may be
busy (native code that keeps the interpreter's lock), and is given minutes.
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
#: Seconds of silence after which it is checked whether a process is stopped.
_STOPPED_SECONDS = 8.0
#: Checks, at least, that one did not answer before it is taken for hung: this process may itself have been stopped.
_CHECKS = 3
#: Seconds from one heartbeat to the next, unless there are so many processes that more would be sent in a second.
_EVERY, _A_SECOND = 5.0, 20
#: A host checks the registry when so many heartbeats, and some seconds that differ from host to host, are missing.
_MISSED, _SPREAD = 2, 3.0
#: Seconds between two such checks. A registry that was absent twice is created: once may be a hub that is being stopped.
_AGAIN = 5.0


class Processes(Protocol):
    """The hub's processes, by the names of their actors."""

    async def answers(self, name: str, within: float) -> bool:
        """Send a heartbeat; the next follows `within` seconds. True when it has answered; False if there is none."""

    async def end_stopped(self, name: str) -> bool:
        """Kill its process, for Ray to restart, if that is stopped; whether it was."""

    async def end_silent(self, name: str) -> None:
        """Kill its process, for Ray to restart, unless Ray is doing so already."""


class Detector:
    """Which processes have been silent, since when, and replacing those that are stopped or hung."""

    def __init__(self, processes: Processes, hung: Callable[[str], float | None]) -> None:
        """`hung`: seconds after which a process that is silent, and not stopped, is replaced; None: never."""
        self._processes = processes
        self._hung = hung
        #: Since when, and for how many checks.
        self._silent: dict[str, tuple[float, int]] = {}

    async def check(self, name: str, within: float = _EVERY, since: float | None = None) -> bool | None:
        """Whether there is such a process; None: it does not answer. `since`: when it last showed that it lives."""
        began = monotonic() if since is None else since
        try:
            there = await asyncio.wait_for(self._processes.answers(name, within), _ANSWER_SECONDS)
        except Exception as error:
            log.info("%s does not answer: %r", name, error)
        else:
            self._silent.pop(name, None)
            return there
        since, checks = self._silent.get(name, (began, 0))
        self._silent[name] = since, checks + 1
        silent, hung = monotonic() - since, self._hung(name)
        if silent >= _STOPPED_SECONDS and await self._processes.end_stopped(name):
            log.error("the process of %s is stopped and was silent for %.0f s; it is replaced", name, silent)
            del self._silent[name]
        elif hung is not None and silent >= hung and checks + 1 >= _CHECKS:
            log.error("the process of %s was silent for %.0f s; it is replaced", name, silent)
            del self._silent[name]
            await self._processes.end_silent(name)
        return None


async def send_heartbeats(
    detector: Detector, names: Callable[[], Awaitable[Collection[str]]], go_on: Callable[[], bool]
) -> None:
    """The registry's part: send heartbeats to each of `names`, one after the other, round after round."""
    checking: dict[str, asyncio.Task[object]] = {}

    async def check(name: str, within: float) -> None:
        try:
            await detector.check(name, within)
        except Exception:
            log.exception("%s could not be checked", name)
        finally:
            del checking[name]

    while go_on():
        try:
            found = await names()
        except Exception as error:
            log.info("cannot list the hub's processes: %s", error)
            found = ()
        every = max(_EVERY, len(found) / _A_SECOND)
        for name in found:
            if name not in checking:
                checking[name] = asyncio.create_task(check(name, every))
            await asyncio.sleep(every / len(found))
        if not found:
            await asyncio.sleep(every)


class RegistryWatch:
    """A host's part: when heartbeats are missing, the registry is checked, replaced if it is stopped, created if it is gone."""

    def __init__(self, detector: Detector, registry: str, make: Callable[[], Awaitable[None]]) -> None:
        self._detector = detector
        self._registry = registry
        self._make = make
        self._last = self._due = 0.0
        self._absent = False
        self.heartbeat(_EVERY)

    def heartbeat(self, within: float) -> None:
        """The registry's heartbeat; the next follows `within` seconds. From any thread."""
        self._last = monotonic()
        self._due = self._last + _MISSED * within + random.uniform(0, _SPREAD)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(max(self._due - monotonic(), 0.0))
            if self._due > monotonic():
                continue
            self._due = monotonic() + _AGAIN
            try:
                absent = await self._detector.check(self._registry, since=self._last) is False
                if absent and self._absent:
                    log.warning("the hub has no registry; one is created")
                    await self._make()
                self._absent = absent
            except Exception as error:
                log.warning("the registry cannot be checked, trying again: %s", error)
