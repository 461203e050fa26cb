"""The workloads: one file each, standard library only, so that the same code times every contender where it lives."""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads import dedicated, events, fan, hello, kill, long, queries, timers, waiting

#: Memory first: what waits later lives in what the workloads before it left behind.
ALL: tuple[Workload, ...] = tuple(
    workload
    for module in (waiting, hello, fan, events, timers, kill, long, queries, dedicated)
    for workload in module.WORKLOADS
)
