"""Memory: what instances that wait for an event add to an idle engine.

Two hundred are added five times over, while those before them go on waiting: the median is what they take. The first time
shows what the engine takes once, for the first of anything (buffers, caches, the arenas of its allocator); that figure
stands beside it. Nothing is let go in between, so nothing is counted that lives in what others left behind.

A cluster grows by itself, too: its daemons note this and that every second. Before each two hundred nothing is added for the
same time, and the median of that is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from benchmarks.contender import Contender
from benchmarks.measure import memory
from benchmarks.workload import Scale, Target, Workload

#: How often the smaller number is added.
_TIMES = 5
#: Seconds from one look to the next, with instances added or without.
_PAUSE = 4.0
#: Instances started, and sent their events, in one call.
_AT_ONCE = 1_000
#: Growth within a second (MiB) that is none, and how often to look for it.
_STEADY, _LOOKS = 0.05, 30


def waiting(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """KiB an instance (own share of memory, all processes together) and processes, above the idle engine."""
    contender.call("hello")
    few, *more = scale.waiting
    _, idle = _held(contender)
    begun: list[Any] = []
    by_itself, growth = [], []
    for _ in range(_TIMES):
        by_itself.append(_growth(contender, lambda: None) * 1024)
        growth.append(_growth(contender, lambda: begun.extend(_start(contender, few))) * 1024)
    found = {
        f"KiB each of {few}": max(median(growth) - median(by_itself), 0.0) / few,
        f"KiB each of the first {few}": max(growth[0] - median(by_itself), 0.0) / few,
        "KiB all grow meanwhile by themselves": median(by_itself),
        f"processes for {few}": len(memory(contender.pids())) - idle,
    }
    _end(contender, begun)
    for many in more:
        before, idle = _held(contender)
        begun = _start(contender, many)
        held, processes = _held(contender)
        found[f"KiB each of {many}"] = max(held - before, 0.0) * 1024 / many
        found[f"processes for {many}"] = processes - idle
        _end(contender, begun)
    return found


def _growth(contender: Contender, act: Callable[[], object]) -> float:
    """MiB by which all processes have grown some time after `act`."""
    before = memory(contender.pids())
    act()
    time.sleep(_PAUSE)
    return sum(memory(contender.pids()).values()) - sum(before.values())


def _start(contender: Contender, many: int) -> list[Any]:
    return [
        handle for at in range(0, many, _AT_ONCE) for handle in contender.start_many("event", min(_AT_ONCE, many - at))
    ]


def _end(contender: Contender, handles: list[Any]) -> None:
    for at in range(0, len(handles), _AT_ONCE):
        some = handles[at : at + _AT_ONCE]
        contender.send_many(some, 7)
        assert contender.wait_many(some) == [7] * len(some)


def _held(contender: Contender) -> tuple[float, int]:
    """MiB and processes, once nothing grows by itself: a cluster goes on starting processes after it says it is there."""
    held = memory(contender.pids())
    for _ in range(_LOOKS):
        time.sleep(1)
        before, held = held, memory(contender.pids())
        if abs(sum(held.values()) - sum(before.values())) < _STEADY:
            break
    return sum(held.values()), len(held)


WORKLOADS = (
    Workload(
        "memory",
        "instances that wait for an event",
        waiting,
        (
            Target("durable_ray", "KiB each of 200", None, 10),
            Target("durable_ray", "processes for 200", None, 1),
            Target("durable_ray", "KiB each of 10000", None, 10),
        ),
        rounds=1,
        only=("durable_ray",),
    ),
)
