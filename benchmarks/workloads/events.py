"""W3: how long an event takes to wake an orchestration, and how many one orchestration can take."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.contender import Contender
from benchmarks.measure import percentile
from benchmarks.workload import Scale, Target, Workload

_BURST = 1_000


def wake(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """From raising the event to the result of the orchestration that waited for it."""
    found = []
    end = time.perf_counter() + 15
    while len(found) < scale.events and time.perf_counter() < end:
        handles = contender.start_many("event", 1)
        time.sleep(0.03)
        began = time.perf_counter()
        contender.send_many(handles, 7)
        results = contender.wait_many(handles)
        found.append((time.perf_counter() - began) * 1e3)
        assert results == [7], results
    return {"p50 ms": percentile(found, 0.5)}


def burst(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Many events to one instance that counts them."""
    handles = contender.start_many("count", 1, _BURST)
    time.sleep(0.1)
    began = time.perf_counter()
    contender.send_burst(handles[0], _BURST)
    results = contender.wait_many(handles)
    took = time.perf_counter() - began
    assert results == [_BURST], results
    contender.check(handles)
    return {"per s": _BURST / took}


WORKLOADS = (
    Workload(
        "W3a",
        "event raised to orchestration completed",
        wake,
        (
            Target("durable_ray", "p50 ms", "DBOS PostgreSQL", 0.3),
            Target("durable_ray", "p50 ms", "Ray actors", 2.0),
        ),
    ),
    Workload(
        "W3b",
        "1,000 events to one instance",
        burst,
        (Target("durable_ray", "per s", "DBOS SQLite", 20, most=False),),
        rounds=2,
    ),
)
