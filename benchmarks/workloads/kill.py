"""W5: two hundred orchestrations wait for an event while the process that holds them is killed."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.contender import Contender
from benchmarks.workload import Scale, Target, Workload

_WAITING = 200


def kill(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """From the kill to all of them having ended, the engine's return included; none may be lost."""
    found = contender.recovery(_WAITING)
    assert found["lost"] == 0, found
    return found


WORKLOADS = (
    Workload(
        "W5",
        "200 waiting, kill -9, then the events",
        kill,
        (
            Target("durable_ray", "s from the kill", "DBOS SQLite", 1.0),
            Target("durable_ray", "s of them once it answers again", None, 1.0),
            Target("durable_ray", "lost", None, 0),
        ),
        rounds=2,
        only=("durable_ray", "DBOS SQLite", "DBOS PostgreSQL", "Restate"),
    ),
)
