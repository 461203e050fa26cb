"""Runs in a peer's environment: takes the name of a workload on each line of its input, answers its figures on a line.

`python -m benchmarks.peers.serve dbos_peer`; the first line of its input is the peer's options, as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from benchmarks.contender import Contender, Skip
from benchmarks.workload import Scale
from benchmarks.workloads import ALL

_WORKLOADS = {workload.key: workload for workload in ALL}


def main() -> None:
    """Serve until the input ends."""
    # What a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    contender: Contender = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}").make(
        json.loads(sys.stdin.readline())
    )
    contender.start()
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(_sample(contender, json.loads(line))) + "\n")
    contender.stop()
    os._exit(0)  # some engines leave threads behind that would keep the process


def _sample(contender: Contender, asked: dict[str, Any]) -> dict[str, Any]:
    scale = {key: tuple(value) if isinstance(value, list) else value for key, value in asked["scale"].items()}
    try:
        return {"figures": dict(_WORKLOADS[asked["workload"]].sample(contender, Scale(**scale)))}
    except Skip as why:
        return {"skip": str(why)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error)[:300]}"}


if __name__ == "__main__":
    main()
