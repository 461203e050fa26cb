"""W7: two thousand activities in sequence, and how fast such a history is brought back to life."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.contender import Contender, Skip
from benchmarks.measure import seconds
from benchmarks.workload import Scale, Target, Workload


def sequence(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Start to result of many steps, in milliseconds a step; and the replay of what it left."""
    contender.call("long", 20)
    handle = contender.start_one("long", scale.steps)
    results: list[object] = []
    took = seconds(lambda: results.extend(contender.wait_many([handle])))
    assert results == [scale.steps], results
    found = {"ms a step": took * 1e3 / scale.steps}
    try:
        contender.check([handle])
        found["replay ms"] = contender.replay(handle, scale.steps) * 1e3
    except Skip:
        pass
    return {**found, **contender.replays(2_000, 20_000)}


WORKLOADS = (
    Workload(
        "W7",
        "thousands of activities in sequence",
        sequence,
        (
            Target("durable_ray", "ms a step", "Ray actors", 1.3),
            Target("durable_ray local", "ms a step", "DBOS SQLite", 0.25),
            Target("durable_ray", "replay of 2000 ms", None, 100),
            Target("durable_ray", "step of the longer over step of the shorter", None, 1.2),
        ),
        rounds=2,
    ),
)
