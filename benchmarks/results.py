"""What stays of a run: the machine it ran on and every figure, as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray

from benchmarks.driver import Outcome
from benchmarks.report import verdicts
from benchmarks.workload import Scale

ROOT = Path(__file__).resolve().parent.parent


def with_rounds(scale: Scale, rounds: int) -> Scale:
    """The same with another number of rounds."""
    return replace(scale, rounds=rounds)


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count(),
        "memory GiB": round(memory),
        "system": platform.system(),
        "python": platform.python_version(),
        "ray": ray.__version__,
        "niceness of Ray's workers": os.environ.get("RAY_worker_niceness", "Ray's default"),  # noqa: SIM112
    }


def heading(scale: Scale) -> str:
    """One line above the table."""
    return ", ".join(f"{key} {value}" for key, value in machine().items()) + f"; {scale.rounds} rounds of {scale}\n"


def keep(
    outcomes: Sequence[Outcome], durability: dict[str, str], scale: Scale, name: str, *, some: bool = False
) -> None:
    """Write benchmarks/results/<name>.json. Of a run of `some` workloads, these replace what was kept of an earlier run."""
    here = machine()
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if some and path.exists() else {}
    found: dict[str, Any] = {
        "machine": here,
        "scale": asdict(scale),
        "durability": durability,
        "workloads": {
            outcome.workload.key: {
                "title": outcome.workload.title,
                "figures": outcome.figures,
                "skipped": outcome.skipped,
                "load": outcome.load,
                "date": here["date"],
                "targets": [str(verdict) for verdict in verdicts(outcome)],
            }
            for outcome in outcomes
        },
    }
    if kept:
        kept["workloads"] |= found["workloads"]
        found = kept
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
