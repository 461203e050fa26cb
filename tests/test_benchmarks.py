"""What the pages say of speed: from one run's results, with clocks that start where a reader would think they do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import results, summary
from benchmarks.driver import Outcome
from benchmarks.ours import DurableRay
from benchmarks.workload import QUICK, Workload

KEPT: dict[str, Any] = json.loads((results.ROOT / "benchmarks" / "results" / "latest.json").read_text())


@pytest.mark.parametrize(
    ("page", "table"), [("README.md", summary.short_table), ("docs/benchmarks.md", summary.tables)]
)
def test_the_pages_have_the_tables_of_the_kept_results(page: str, table: Callable[[], str]) -> None:
    text = (results.ROOT / page).read_text()
    shown = text.partition(summary._BEGIN)[2].partition(summary._END)[0]
    assert shown.strip() == table(), "run `python -m benchmarks.summary`"


def test_the_short_table_has_rows_of_the_long_one_with_a_figure_of_each_peer() -> None:
    rows = summary.short_table().splitlines()[4:]
    assert len(rows) == 5
    assert set(rows) <= set(summary.tables().splitlines())
    assert all(row.count("|") == 8 for row in rows)


def test_a_kill_is_measured_from_the_kill_for_everybody() -> None:
    figures = KEPT["workloads"]["W5"]["figures"]
    assert {"durable_ray", "DBOS SQLite", "DBOS PostgreSQL", "Restate"} <= figures.keys()
    assert all(metrics["s from the kill"] for metrics in figures.values())
    row = next(line for line in summary.tables().splitlines() if line.startswith("| kill -9"))
    assert row.count("x)") == 4, "the peers stand beside it, their restart included"


class Killed(DurableRay):
    """Real processes that are killed; what stands in for the hub answers again half a second later."""

    def __init__(self) -> None:
        self.name = "durable_ray"
        self._hub = SimpleNamespace(client=SimpleNamespace(_partitions=2))  # type: ignore[assignment]
        self.processes = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(2)]
        self._dead_since = 0.0

    def start_many(self, shape: str, n: int, arg: Any = None) -> list[Any]:
        return [SimpleNamespace(wait_for_start=lambda: None)] * n

    def send_many(self, handles: Any, value: Any) -> None:
        """Nobody listens."""

    def wait_many(self, handles: Any) -> list[Any]:
        return [7] * len(handles)

    def _pid(self, host: str) -> int:
        process = self.processes[int(host[-1])]
        if process.poll() is None:
            return process.pid
        self._dead_since = self._dead_since or time.perf_counter()
        return process.pid + 1 if time.perf_counter() > self._dead_since + 0.5 else 0


def test_the_time_in_which_the_engine_is_away_counts() -> None:
    contender = Killed()
    try:
        found = contender.recovery(5)
    finally:
        for process in contender.processes:
            process.kill()
            process.wait()
    assert found["lost"] == 0
    assert found["s from the kill"] >= 0.5 > found["s of them once it answers again"]


def test_rows_say_how_they_were_made() -> None:
    said = summary.tables()
    assert "written in bulk" in said
    assert "without history" in said
    stored = KEPT["workloads"]["W6"]["figures"]
    for peer in ("DBOS SQLite", "DBOS PostgreSQL", "Restate"):
        assert f"{peer} {stored[peer]['stored'][0]:,.0f}" in said, "what it really ran"


def test_some_workloads_taken_anew_leave_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "ROOT", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    first, second = (Workload(key, key, lambda contender, scale: {}) for key in ("A", "B"))
    results.keep([Outcome(first, {"x": {"s": [1.0]}}), Outcome(second, {"x": {"s": [2.0]}})], {}, QUICK, "kept")
    results.keep([Outcome(second, {"x": {"s": [3.0]}})], {}, QUICK, "kept", some=True)
    kept = json.loads((tmp_path / "benchmarks" / "results" / "kept.json").read_text())["workloads"]
    assert [kept[key]["figures"]["x"]["s"] for key in "AB"] == [[1.0], [3.0]]
