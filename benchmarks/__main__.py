"""`python -m benchmarks`: measure, print one table, keep the results.

python -m benchmarks --quick            # under 90 s: every workload once
python -m benchmarks                    # under 10 min, three rounds
python -m benchmarks --peers            # with DBOS and Restate, installed into environments of their own
python -m benchmarks --only W1a,W7      # some workloads; with --keep they replace what was kept of these
python -m benchmarks --full             # five rounds, and a million stored instances for W6
python -m benchmarks --full --only W6 --ways workers --keep million     # the figures for a million
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import ray

from benchmarks import plot, results, summary
from benchmarks.contender import Contender, Skip
from benchmarks.driver import Outcome, run
from benchmarks.floor import RayFloor
from benchmarks.ours import DurableRay, Hub
from benchmarks.peers.remote import peers
from benchmarks.report import table
from benchmarks.workload import FULL, NORMAL, QUICK
from benchmarks.workloads import ALL


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--quick", action="store_true", help="one small round, under 90 s")
    parser.add_argument("--full", action="store_true", help="five rounds, a million stored instances")
    parser.add_argument("--peers", action="store_true", help="measure DBOS and Restate too")
    parser.add_argument("--only", default="", help="workloads, by comma")
    parser.add_argument("--ways", default="workers,local,tasks", help="kinds of activities to measure")
    parser.add_argument("--rounds", type=int, default=0, help="other than the mode's")
    parser.add_argument(
        "--keep",
        nargs="?",
        const="latest",
        metavar="NAME",
        help="write benchmarks/results/NAME.json (latest: also the plot) and the tables of README.md and docs/benchmarks.md",
    )
    return parser.parse_args()


def main() -> int:
    """Measure; 0 if every instance came out right."""
    asked = arguments()
    scale = QUICK if asked.quick else FULL if asked.full else NORMAL
    if asked.rounds:
        scale = results.with_rounds(scale, asked.rounds)
    wanted = {key.casefold() for key in asked.only.split(",") if key}
    workloads = [one for one in ALL if not wanted or one.key.casefold() in wanted]
    logging.getLogger("durable_ray").setLevel(logging.ERROR)
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="durable-ray-bench-")))
        # Ray runs its workers at the a lower priority; the peers run as they are started. All shall wait alike
        # for whatever else this machine does.
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(
            address="local",
            num_cpus=8,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=200_000_000,
        )
        stack.callback(ray.shutdown)
        hub = Hub(folder)
        hub.start()
        stack.callback(hub.stop)
        contenders: list[Contender] = [RayFloor(folder, tasks=False)]
        contenders += [DurableRay(hub, way) for way in asked.ways.split(",")]
        if "tasks" in asked.ways:
            contenders.append(RayFloor(folder, tasks=True))
        if asked.peers:
            contenders += peers(stack, folder)
        absent: dict[str, str] = {}
        for contender in tuple(contenders):
            try:
                contender.start()
                stack.callback(contender.stop)
            except Skip as why:
                contenders.remove(contender)
                absent[contender.name] = str(why)
        for workload in workloads:
            print(f"{workload.key}: {workload.title}", file=sys.stderr, flush=True)
            outcomes.append(run(workload, contenders, scale, _say))
        durability = {one.name: one.durability for one in contenders}
    print(results.heading(scale))
    for name, why in absent.items():
        print(f"{name} is not in this run: {why}\n")
    print(table(outcomes, durability))
    if asked.keep:
        results.keep(outcomes, durability, scale, asked.keep, some=bool(asked.only))
        if asked.keep == "latest" and not asked.only:
            plot.draw(outcomes)
        summary.write()
    broken = [f"{o.workload.key} {name}: {why}" for o in outcomes for name, why in o.skipped.items() if "failed" in why]
    return 1 if broken else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    began = time.perf_counter()
    code = main()
    print(f"\n{time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
    sys.exit(code)
