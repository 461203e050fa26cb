"""W4: a thousand orchestrations that each sleep a durable second."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.contender import Contender
from benchmarks.measure import seconds
from benchmarks.workload import Scale, Target, Workload

_SLEEPERS = 1_000


def sleepers(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """From the first start to the last result."""
    contender.wait_many(contender.start_many("sleep1", 3))
    results: list[object] = []
    took = seconds(lambda: results.extend(contender.wait_many(contender.start_many("sleep1", _SLEEPERS))))
    assert results == [1] * _SLEEPERS
    return {"s": took}


WORKLOADS = (
    Workload(
        "W4",
        "1,000 that sleep a durable second",
        sleepers,
        (Target("durable_ray", "s", None, 1.5),),
        rounds=2,
        only=("durable_ray", "Ray actors", "DBOS SQLite", "DBOS PostgreSQL", "Restate"),
    ),
)
