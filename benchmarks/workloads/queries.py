"""W6: a page of 100 by time range and status, and one instance by ID, with many instances stored."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.contender import Contender
from benchmarks.measure import latencies, percentile
from benchmarks.workload import Scale, Target, Workload


def queries(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Milliseconds at the client; for durable_ray also what the store alone takes, and a bare call."""
    since = time.time()
    handles = contender.fill(scale.stored)
    until = time.time()

    def page() -> None:
        assert contender.page(since, until) == 100

    page()
    found = {"stored": float(len(handles)), "page p50 ms": percentile(latencies(page, 50, 5.0), 0.5)}
    wanted = iter(handles[number * len(handles) // 100] for number in range(100))
    found["get p50 ms"] = percentile(latencies(lambda: contender.get(next(wanted)), 100, 5.0), 0.5)
    return {**found, **contender.query_parts(since, until, handles[0])}


WORKLOADS = (
    Workload(
        "W6",
        "queries over many instances",
        queries,
        (
            Target("durable_ray", "page over call and query ms", None, 1.0),
            Target("durable_ray", "get over call and query ms", None, 1.0),
        ),
        rounds=1,
        only=("durable_ray", "DBOS SQLite", "DBOS PostgreSQL", "Restate"),
    ),
)
