"""W1: a hello of three activities in sequence; one at a time, many at once, and many started one by one."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.contender import HELLO, Contender, Skip
from benchmarks.measure import latencies, percentile
from benchmarks.workload import Scale, Target, Workload


def one_at_a_time(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Start to result, one after the other."""

    def hello() -> None:
        assert contender.call("hello") == HELLO

    for _ in range(5):
        hello()
    found = latencies(hello, scale.hellos)
    return {"p50 ms": percentile(found, 0.5), "p99 ms": percentile(found, 0.99)}


def at_once(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Many started at once, through the blocking client and through the awaited one."""
    # A whole burst first: processes that ended since this contender's last turn are there again, and have loaded their code.
    contender.wait_many(contender.start_many("hello", scale.burst))
    began = time.perf_counter()
    handles = contender.start_many("hello", scale.burst)
    results = contender.wait_many(handles)
    found = {"per s": scale.burst / (time.perf_counter() - began)}
    assert results == [HELLO] * scale.burst
    contender.check(handles)
    try:
        began = time.perf_counter()
        results = contender.gather("hello", scale.burst)
        found["async per s"] = scale.burst / (time.perf_counter() - began)
        assert results == [HELLO] * scale.burst
    except Skip:
        pass
    return found


def one_by_one(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Each start awaited before the next; then all results. Of Ray: a call of an actor that commits once, each."""
    try:
        return {"call + commit per s": contender.commits(scale.burst)}
    except Skip:
        pass
    began = time.perf_counter()
    handles = [contender.start_one("hello") for _ in range(scale.burst)]
    started = time.perf_counter() - began
    results = contender.wait_many(handles)
    took = time.perf_counter() - began
    assert results == [HELLO] * scale.burst
    return {"per s": scale.burst / took, "starts per s": scale.burst / started}


WORKLOADS = (
    Workload(
        "W1a",
        "hello of 3 activities, start to result",
        one_at_a_time,
        (
            Target("durable_ray", "p50 ms", "Ray actors", 1.3),
            Target("durable_ray", "p50 ms", "DBOS SQLite", 0.75),
            Target("durable_ray local", "p50 ms", "DBOS SQLite", 0.2),
        ),
    ),
    Workload(
        "W1b",
        "hellos started at once",
        at_once,
        (
            Target("durable_ray", "per s", "Ray actors", 2, most=False),
            Target("durable_ray", "per s", "Restate", 2, most=False),
            Target("durable_ray", "async per s", "Ray actors", 2, most=False, against="per s"),
            Target("durable_ray local", "per s", "DBOS SQLite", 25, most=False),
            Target("durable_ray tasks", "per s", "Ray tasks", 0.8, most=False),
        ),
    ),
    Workload(
        "W1c",
        "hellos started one by one, blocking",
        one_by_one,
        (
            Target("durable_ray", "per s", "Ray actors", 0.8, most=False, against="call + commit per s"),
            Target("durable_ray local", "per s", "Ray actors", 0.8, most=False, against="call + commit per s"),
        ),
        only=("durable_ray", "Ray actors"),
    ),
)
