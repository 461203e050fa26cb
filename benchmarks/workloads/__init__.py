"""The workloads: one file each, standard library only, so that the same code times every contender where it lives."""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads import dedicated, events, fan, hello, kill, long, queries, timers, waiting

ALL: tuple[Workload, ...] = tuple(
    workload
    for module in (hello, fan, events, timers, kill, long, queries, waiting, dedicated)
    for workload in module.WORKLOADS
)
