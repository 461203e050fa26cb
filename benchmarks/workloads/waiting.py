"""Memory: what instances that wait for an event add to an idle engine."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.contender import Contender
from benchmarks.measure import family, memory
from benchmarks.workload import Scale, Target, Workload


def waiting(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """KiB an instance (own share of memory, all processes together) and processes, above the idle engine."""
    contender.call("hello")
    found: dict[str, float] = {}
    for many in scale.waiting:
        time.sleep(1)
        before, idle = _held(contender)
        handles = []
        for at in range(0, many, 1_000):
            handles += contender.start_many("event", min(1_000, many - at))
        time.sleep(2)
        after, processes = _held(contender)
        found[f"KiB each of {many}"] = max(after - before, 0.0) * 1024 / many
        found[f"processes for {many}"] = processes - idle
        for at in range(0, many, 1_000):
            contender.send_many(handles[at : at + 1_000], 7)
            assert contender.wait_many(handles[at : at + 1_000]) == [7] * len(handles[at : at + 1_000])
    return found


def _held(contender: Contender) -> tuple[float, int]:
    held = memory(family(contender.pids()))
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
