"""SIGTERM, for real, to the process of an activity, whichever way it is run: it ends, and its attempt runs again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import durable_ray as dr
from durable_ray.actors.activities.dispatcher import MAX_CRASHES
from tests.ray_cluster import eventually, running_hub

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.timeout(300)]


def block(path: str) -> str:
    """Notes its process, and blocks until there is leave to return."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not Path(path + ".leave").exists():
        time.sleep(0.05)
    return path


WAYS = {
    "worker": dr.activity(name="sigterm.worker")(block),
    "task": dr.activity(name="sigterm.task", num_cpus=0)(block),
    "detached": dr.activity(name="sigterm.detached", detached=True, num_cpus=0)(block),
    "local": dr.activity(name="sigterm.local", local=True)(block),
}


@dr.orchestrator
async def call_one(ctx: dr.OrchestrationContext, job: tuple[str, str]) -> str:
    way, path = job
    return str(await ctx.call_activity(f"sigterm.{way}", path))


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_process_that_gets_sigterm_exits_and_its_attempt_runs_again(ray_cluster: None, tmp_path: Path) -> None:
    with running_hub(tmp_path, workers=2, partitions=1) as client:
        notes = {way: tmp_path / way for way in WAYS}
        handles = {way: client.start_new(call_one, (way, str(notes[way])), instance_id=f"s-{way}") for way in WAYS}
        for number in range(MAX_CRASHES + 1):
            pids = []
            for note in notes.values():
                eventually(lambda: _lines(note) > number, f"attempt {number} began")  # noqa: B023
                pids.append(int(note.read_text().splitlines()[number]))
                os.kill(pids[-1], signal.SIGTERM)
            # Without us they would live for as long as their activities run.
            eventually(lambda: all(map(_ended, pids)), "they end at once")  # noqa: B023
        for way, note in notes.items():
            eventually(lambda: _lines(note) > MAX_CRASHES + 1, f"{way}: the last attempt began")  # noqa: B023
            Path(f"{note}.leave").touch()
        for way, handle in handles.items():
            assert handle.wait_for_completion(60) == str(notes[way])


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0
