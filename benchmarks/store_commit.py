"""What a commit costs: CPU per write and wall time per group, for groups of several sizes, on any store.

    python benchmarks/store_commit.py                       # a SQLite file in a temporary directory
    python benchmarks/store_commit.py --url postgresql://…  # an empty database

Each write is the commonest one: a turn of a running instance that adds a chunk of history (about 300 bytes) and changes
nothing else. The instances of a group differ. CPU time is this process's own, so a PostgreSQL server's is not in it.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import Fence, NewInstance
from durable_ray.actors.store.writes import CommitTurn, StartInstance, TurnCommitted

HOST = "partition-1"
INSTANCES = 2000
BODY = '[{"e":"TurnStarted","at":1760000000000000},' + '{"e":"ActivityCompleted","task":1,"result":"x"},' * 5 + "{}]"


@dataclass
class Turns:
    """Hands out the next turn of each instance in rotation."""

    turn: list[int]
    at: int = 0

    def next(self) -> CommitTurn:
        n = self.at % INSTANCES
        self.at += 1
        turn = self.turn[n]
        self.turn[n] += 1
        return CommitTurn(
            instance_id=name(n),
            execution_id="0" * 32,
            host=HOST,
            turn=turn,
            name="hello",
            old_status="Running" if turn else "Pending",
            status="Running",
            updated_at=1_760_000_000_000_000 + self.at,
            body=BODY,
            first_event=turn * 7,
            events=7,
            outstanding=turn % 2,
        )


def name(n: int) -> str:
    """Spread over the key space, as random IDs are."""
    return f"{n * 2654435761 % 2**32:08x}-instance"


def prepare(store: Store) -> Fence:
    """A hub with `INSTANCES` running instances."""
    store.acquire_hub("benchmark", "cluster", "here", 0, 1, "{}")
    fence = store.acquire_lease(HOST)
    for at in range(0, INSTANCES, 500):
        new = [NewInstance(name(n), "0" * 32, "hello", HOST, "shared", n, input='"x"') for n in range(at, at + 500)]
        store.commit(fence, [StartInstance(each) for each in new])
    return fence


def measure(store: Store, fence: Fence, turns: Turns, size: int, seconds: float) -> None:
    """Commit groups of `size` for some seconds and print what one cost."""
    took, cpu, groups = [], 0.0, 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        group = [turns.next() for _ in range(size)]
        began, began_cpu = time.perf_counter(), time.process_time()
        answers = store.commit(fence, group).answers
        cpu += time.process_time() - began_cpu
        took.append(time.perf_counter() - began)
        groups += 1
        if not all(isinstance(answer, TurnCommitted) for answer in answers):
            raise SystemExit(f"a turn was refused: {answers}")
    writes = groups * size
    p50, p99 = statistics.median(took) * 1e3, sorted(took)[int(len(took) * 0.99)] * 1e3
    print(
        f"group of {size:4}: {writes / sum(took):8.0f} writes/s  {cpu / writes * 1e6:7.1f} µs CPU per write"
        f"  commit p50 {p50:6.2f} ms  p99 {p99:6.2f} ms"
    )


def main() -> None:
    """Measure, or profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="the store; default: a SQLite file in a temporary directory")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100, 500])
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(asked.url or f"sqlite:///{Path(folder) / 'store.db'}")
        try:
            fence = prepare(store)
            turns = Turns([0] * INSTANCES)
            for at in range(0, INSTANCES, 500):
                store.commit(fence, [turns.next() for _ in range(at, at + 500)])
            profile = cProfile.Profile()
            if asked.profile:
                profile.enable()
            for size in asked.sizes:
                measure(store, fence, turns, size, asked.seconds)
                store.checkpoint()
            if asked.profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(18)
        finally:
            store.close()


if __name__ == "__main__":
    main()
