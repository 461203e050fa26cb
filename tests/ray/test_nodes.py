"""A cluster of several nodes: activities run on all of them, one that is lost takes nothing along, one that joins is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.timeout(240)]


def run(what: str, store: str, folder: Path) -> str:
    """A driver in a process of its own: its cluster ends with it. What it printed."""
    command = [sys.executable, "-m", "tests.ray.nodes", what, store, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_activities_of_a_lost_node_run_again_and_a_new_node_gets_its_share(tmp_path: Path) -> None:
    assert "activities: all well" in run("activities", f"sqlite:///{tmp_path / 'hub.db'}", tmp_path)


@pytest.mark.postgres
def test_hosts_of_a_lost_node_go_on_elsewhere(postgres_url: str, tmp_path: Path) -> None:
    assert "hosts: all well" in run("hosts", postgres_url, tmp_path)


@pytest.mark.slow  # two to three minutes: sessions of a frozen machine live until the server gives them up
@pytest.mark.postgres
def test_hosts_and_registry_of_a_frozen_node_go_on_elsewhere(postgres_url: str, tmp_path: Path) -> None:
    assert "frozen: all well" in run("frozen", postgres_url, tmp_path)
