"""W2: one orchestration that calls 200 activities at once and sums up what they return."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.contender import Contender
from benchmarks.measure import latencies, percentile
from benchmarks.workload import Scale, Target, Workload

_WIDTH = 200


def fan(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Start to sum."""
    contender.call("fan", 20)

    def once() -> None:
        assert contender.call("fan", _WIDTH) == sum(range(_WIDTH))

    found = latencies(once, 5, budget=3.0)
    return {"ms": percentile(found, 0.5)}


WORKLOADS = (
    Workload(
        "W2",
        "fan-out to 200 and back",
        fan,
        (
            Target("durable_ray", "ms", "Ray actors", 0.5),
            Target("durable_ray", "ms", "DBOS SQLite", 0.09),
            Target("durable_ray local", "ms", "DBOS SQLite", 0.04),
        ),
    ),
)
