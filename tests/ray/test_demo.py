"""`examples/demo.py` does what it shows, on a Ray of its own: a small directory, the kill included.

The demo checks its promises itself and says so by its exit code; what is held here is that the figures
it prints are those of the directory it was given.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = 48

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.timeout(300)]


def run_demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_demo_survives_its_own_kill(tmp_path: Path) -> None:
    directory, results = tmp_path / "files", tmp_path / "results"
    results.mkdir()
    for number in range(FILES):
        file = directory / f"folder{number % 5}" / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"line {number}\n" * (number + 1))
    (directory / "__pycache__").mkdir()
    (directory / "__pycache__" / "left_out.pyc").write_text("no source of anybody's")

    demo = run_demo(directory, "--results", results)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.splitlines()[-1].startswith(f"demo passed: {FILES} files, 1 start refused, 1 kill -9, ")
    assert "BROKEN" not in demo.stdout
    (report,) = results.glob("*/report.json")
    found = json.loads(report.read_text())
    lines = sum(range(1, FILES + 1))
    assert {key: found["totals"][key] for key in ("files", "lines", "words")} == {
        "files": FILES,
        "lines": lines,
        "words": 2 * lines,
    }
    executions = (report.parent / "executions.log").read_text().splitlines()
    assert len({line.partition("\t")[2] for line in executions}) == FILES


def test_the_demo_refuses_what_is_no_directory(tmp_path: Path) -> None:
    demo = run_demo(tmp_path / "absent")

    assert demo.returncode == 2
    assert "is not a directory" in demo.stderr
