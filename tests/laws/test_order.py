"""Every process does the same: twenty of them, with twenty hash seeds and littered memory, live the same fates.

This is what hashing by creation number buys; without it `TaskGroup`, `wait` and `as_completed` give other orders here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.laws import order

PROCESSES = 20


def _digests(seed: int) -> dict[str, str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    command = [sys.executable, "-S", str(Path(order.__file__))]
    # -S, for a fast start, also hides installed packages: what is needed of them comes along by path.
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_twenty_processes_agree() -> None:
    with ThreadPoolExecutor(2) as pool:
        first, *others = pool.map(_digests, range(1, PROCESSES + 1))
    for seed, other in enumerate(others, 2):
        assert other == first, f"the process with PYTHONHASHSEED={seed} did something else"
