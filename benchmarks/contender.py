"""What a workload may ask of a contender: to start, signal and query instances of a few shapes. Nothing else.

Shapes (each contender has its own code for them):
    hello   three activities in sequence; returns their three greetings
    fan     n activities at once; returns the sum of what they were given
    event   waits for the event "go"; returns its value
    count   takes n events "go", each 1; returns their sum
    sleep1  sleeps a durable second; returns 1
    empty   returns at once
    long    n activities in sequence; returns n

Standard library only: a peer runs this in an environment of its own.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from benchmarks.measure import family

HELLO = ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]
CITIES = ("Tokyo", "Seattle", "London")


class Skip(Exception):
    """This contender cannot do that; the message says why."""


class Contender:
    """One engine, ready to be measured."""

    name = ""
    #: What is on disk when a call returns.
    durability = ""

    def start(self) -> None:
        """Bring it up."""

    def stop(self) -> None:
        """End what `start` began."""

    def sample(self, workload: Any, scale: Any) -> Mapping[str, float]:
        """One sample of a workload."""
        found: Mapping[str, float] = workload.sample(self, scale)
        return found

    def pids(self) -> Collection[int]:
        """The processes that it consists of now."""
        return family([os.getpid()])

    def call(self, shape: str, arg: Any = None) -> Any:
        """Start one instance and wait for its result."""
        return self.wait_many(self.start_many(shape, 1, arg))[0]

    def start_one(self, shape: str, arg: Any = None) -> Any:
        """Start one instance; the handle, once the start is durable."""
        return self.start_many(shape, 1, arg)[0]

    def start_many(self, shape: str, n: int, arg: Any = None) -> list[Any]:
        """Start n instances at once."""
        raise Skip("it has no orchestrations")

    def wait_many(self, handles: Sequence[Any]) -> list[Any]:
        """Their results, in order."""
        raise Skip("it has no orchestrations")

    def gather(self, shape: str, n: int) -> list[Any]:
        """Start and wait for n instances through an event loop."""
        raise Skip("it has no asynchronous client")

    def commits(self, n: int) -> float:
        """Blocking calls that commit one small transaction each and do nothing else, per second."""
        raise Skip("see Ray actors")

    def send_many(self, handles: Sequence[Any], value: Any) -> None:
        """The event "go" to each."""
        raise Skip("it has no events")

    def send_burst(self, handle: Any, n: int) -> None:
        """n events "go" to one."""
        for _ in range(n):
            self.send_many([handle], 1)

    def recovery(self, n: int) -> dict[str, float]:
        """{"s from the kill": until all have ended, "lost": instances} of n that wait while the engine is killed.

        The clock runs from the kill, whoever brings the engine back: what it takes to be there again is part of it.
        """
        raise Skip("nothing of it survives a kill")

    def fill(self, n: int) -> list[Any]:
        """n instances that have finished, for queries."""
        raise Skip("it keeps no instances")

    def page(self, since: float, until: float) -> int:
        """How many instances the first page of 100 completed ones has, of those created between (Unix seconds)."""
        raise Skip("it cannot be queried")

    def get(self, handle: Any) -> Any:
        """One instance's status."""
        raise Skip("it cannot be queried")

    def query_parts(self, since: float, until: float, handle: Any) -> dict[str, float]:
        """Where it can be said: what of a query is the engine's own, beyond a bare call and the store's work."""
        return {}

    def dedicated(self) -> None:
        """Make an instance that has a process of its own, and return when that has done something."""
        raise Skip("it has no processes of its own")

    def replay(self, handle: Any, n: int) -> float:
        """Seconds to bring the code of an instance back to the end of its n steps."""
        raise Skip("it does not replay")

    def replays(self, few: int, many: int) -> dict[str, float]:
        """Where it can be said: replay of short and long histories."""
        return {}

    def check(self, handles: Sequence[Any]) -> None:
        """Raise AssertionError unless the store says that all completed and their histories replay."""
