"""A dedicated instance against a bare named detached actor: from the call that makes it to its first turn (call)."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.contender import Contender
from benchmarks.measure import latencies, percentile
from benchmarks.workload import Scale, Target, Workload


def dedicated(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """The median of a few."""
    return {"p50 ms": percentile(latencies(contender.dedicated, 5, 20.0), 0.5)}


WORKLOADS = (
    Workload(
        "dedicated",
        "a dedicated instance's start to its first turn",
        dedicated,
        (Target("durable_ray", "p50 ms", "Ray actors", 1.15),),
        rounds=2,
        only=("durable_ray", "Ray actors"),
    ),
)
