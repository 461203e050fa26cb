"""A dedicated instance against a bare named detached actor: from the call that makes it to its first turn (call)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.contender import Contender
from benchmarks.measure import latencies, percentile
from benchmarks.workload import Scale, Target, Workload

#: Seconds without a start before one that comes alone: the time in which a process can be got ready, by whoever does that.
_ALONE = 2.0


def dedicated(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """The medians of a few that come alone, as such instances do, and of a few one straight after the other."""
    contender.dedicated()
    alone = []
    for _ in range(5):
        time.sleep(_ALONE)
        alone += latencies(contender.dedicated, 1)
    in_a_row = latencies(contender.dedicated, 4, 20.0)
    return {"p50 ms": percentile(alone, 0.5), "in a row p50 ms": percentile(in_a_row, 0.5)}


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
