"""A cluster that stops and another that starts on the same store; and two clusters that want one store."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.ray, pytest.mark.fault]

PREAMBLE = """
import sys, os, ray
import durable_ray as dr
from tests.ray.orchestrators import hello_cities, wait_twice
from tests.ray_cluster import running_ray, eventually
store = sys.argv[1]
# A cluster of its own, whatever else runs on this machine.
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
"""


def run(script: str, *arguments: str) -> str:
    """A driver in a process of its own: its cluster ends with it. What it printed."""
    code = PREAMBLE + textwrap.dedent(script)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_instances_go_on_in_a_new_cluster_on_the_same_store(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    run(
        """
        client = dr.Client(store=store)
        client.start_many(wait_twice, [None] * 200, instance_ids=[f"w{n}" for n in range(200)], placement="shared")
        single = client.start_new(wait_twice, instance_id="single")
        single.wait_for_start(60)
        client.wait_for_start("w199", 60)
        client.raise_event("w7", "Go", "before the stop")
        os._exit(0)  # no goodbye: the cluster dies with its driver
        """,
        store,
    )
    done = run(
        """
        def opened():
            try:
                return dr.Client(store=store)
            except dr.HubInUse:
                return None

        client = eventually(opened, "the first cluster is gone", 30)
        for n in range(200):
            if n != 7:
                client.raise_event(f"w{n}", "Go", n)
        client.raise_event("single", "Go", "one")
        results = client.wait_many([f"w{n}" for n in range(200)], 60)
        assert results == [["before the stop", None] if n == 7 else [n, None] for n in range(200)], results
        assert client.wait_for_completion("single", 60) == ["one", None]
        print("all went on")
        """,
        store,
    )
    assert "all went on" in done


def test_a_second_cluster_on_one_store_is_refused(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    first = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + "dr.Client(store=store); print('up', flush=True); sys.stdin.read()", store],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout is not None
        while "up" not in (line := first.stdout.readline()):
            assert line, "the first cluster did not come up"
        second = run(
            """
            try:
                dr.Client(store=store)
            except dr.HubInUse as refused:
                print("refused", refused.address, refused)
            """,
            store,
        )
        assert "refused" in second
        assert "another running cluster" in second
    finally:
        first.communicate("", timeout=30)
