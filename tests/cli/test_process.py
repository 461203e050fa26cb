"""The real command, as a process, on a Ray that it starts and ends by itself: the whole life of an instance.

Holds what the other tests cannot: finding Ray again, code that travels, revival by `up` after `down`, and that `down`
ends what `up` started and no other process.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sources import ROOT

CODE = """
import durable_ray as dr

@dr.activity
def ship(order: str) -> str:
    return f"{order} is on its way"

@dr.orchestrator
async def order(ctx: dr.OrchestrationContext, name: str) -> str:
    if not await ctx.wait_for_external_event("Approval"):
        return f"{name} was declined"
    return await ctx.call_activity(ship, name)
"""

Run = Callable[..., str]


@pytest.fixture
def folder() -> Iterator[Path]:
    # Ray's sockets have to have short paths, so not pytest's own folder.
    path = Path(tempfile.mkdtemp(prefix="drcli"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    """Type a command in a world of its own: home, settings, store, Ray. Answers what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DURABLE_RAY_"))}
    home = {"HOME": folder / "home", "XDG_STATE_HOME": folder / "state", "XDG_CONFIG_HOME": folder / "config"}
    environment = (
        kept
        | {name: str(path) for name, path in home.items()}
        | {"PYTHONPATH": str(ROOT), "DURABLE_RAY_HUB": "cli-test"}
    )
    (folder / "home").mkdir()

    def typed(*args: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "durable_ray", *args]
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout

    yield typed
    if (folder / "state" / "durable_ray" / "ray.json").exists():
        typed("down")


def up(run: Run, folder: Path) -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--temp-dir={folder / 'ray'}", "--num-cpus=2", "--include-dashboard=false"]
    said: dict[str, Any] = json.loads(run("up", "--new", "--port", str(port), "--json", "--", *options))
    return said


def alive(pid: int) -> bool:
    """A zombie has ended; in a container nobody may ever reap it."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(said.strip()) and not said.strip().startswith("Z")


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_the_life_of_an_instance_from_up_to_down(run: Run, folder: Path) -> None:
    (folder / "orders.py").write_text(CODE)
    first = up(run, folder)
    assert (first["started_ray"], first["was_up"], first["unfinished"]) == (True, False, 0)
    assert json.loads(run("up", "--json"))["was_up"]

    deployed = json.loads(run("deploy", "orders.py", "--json"))
    assert {(one["kind"], one["name"], one["change"]) for one in deployed} == {
        ("activity", "ship", "new"),
        ("orchestrator", "order", "new"),
    }
    assert {one["change"] for one in json.loads(run("deploy", "orders.py", "--json"))} == {"unchanged"}
    assert run("start", "order", '"tea"', "--id", "tea") == "tea\n"
    run("start", "order", '"coffee"', "--id", "coffee")
    run("raise-event", "tea", "Approval", "true")
    assert run("wait", "tea", "--timeout", "100s") == '"tea is on its way"\n'

    url = json.loads(run("serve", "--detach", "--port", "0", "--json"))["url"]
    over_http = json.loads(run("list", "--url", url, "--json"))
    assert over_http == json.loads(run("list", "--json"))
    run("list", "--url", url, "--key", "wrong", code=8)
    assert "started by `up`" in run("doctor")

    run("down")
    assert not alive(int(first["ray_process"]))

    second = up(run, folder)
    assert second["unfinished"] == 1
    run("raise-event", "coffee", "Approval", "false")
    assert run("wait", "coffee", "--timeout", "100s") == '"coffee was declined"\n'
    assert json.loads(run("purge", "tea", "--json")) == {"deleted": 1}
