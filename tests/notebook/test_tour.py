"""The tours that users are given run on a real Ray, and show what they say: in Jupyter, and in marimo as a script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import ray

from durable_ray.actors.cluster.stopping import stop_hub
from tests.sources import ROOT

pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
from tests.notebook.running import html, run, text  # noqa: E402

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Leads clients to the cluster of these tests, to a hub and a store of this one's own."""
    hub = f"t{uuid4().hex[:8]}"
    return {
        "DURABLE_RAY_ADDRESS": ray.get_runtime_context().gcs_address,
        "DURABLE_RAY_HUB": hub,
        "DURABLE_RAY_STORE": f"sqlite:///{tmp_path / hub}.db",
    }


def test_the_tour_runs_in_jupyter(tmp_path: Path, environment: dict[str, str]) -> None:
    tour = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)
    assert all(not cell.outputs for cell in tour.cells if cell.cell_type == "code"), "clear the outputs before a commit"
    try:
        done = run(tour, tmp_path, **environment)
    finally:
        stop_hub(environment["DURABLE_RAY_HUB"])
    client, hello, handle, again, squares, waiting, granted, failure, table, frame = (
        cell for cell in done.cells if cell.cell_type == "code"
    )
    assert environment["DURABLE_RAY_HUB"] in html(client)
    assert "Greeting(city='Tokyo', text='Hello Tokyo!')" in text(hello)
    assert "<svg" in html(handle)
    assert "Completed" in html(handle)
    assert text(again) == "'Good morning, Oslo!'"
    assert "tour-squares Completed after" in text(squares)
    assert text(squares).endswith("2470")
    assert "Running" in html(waiting)
    assert text(granted) == "'a chair: granted'"
    assert "True" in text(failure)
    assert "ZeroDivisionError" in html(failure)
    assert "in divide" in html(failure)
    assert html(table).count("tour-") == 5
    assert "tour-halve" in html(frame)


def test_the_tour_runs_in_marimo(tmp_path: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("marimo")
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "tour_marimo.py")],
            env={**os.environ, **environment, "PYTHONPATH": paths},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    finally:
        stop_hub(environment["DURABLE_RAY_HUB"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "['Hello Tokyo!', 'Hello Seattle!']" in done.stdout
    assert "a chair: granted" in done.stdout
    assert "marimo-approval Completed after" in done.stderr
    assert "2 instances" in done.stdout
