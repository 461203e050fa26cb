"""A canary as the store's password: in no argument list, no output, no error and no log, whatever is asked for.

The store really has that password in its URL (its server trusts everybody, and so takes it), and the registry is made from a
job with a runtime environment, which takes a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import ray

from durable_ray.actors.cluster.stopping import stop_hub

pytestmark = [pytest.mark.ray, pytest.mark.postgres]

ROOT = Path(__file__).parents[2]
CANARY = "c4n4ry0f7h3s70r3"
HUB = "secretive"

DRIVER = """
import os, ray, traceback
import durable_ray as dr
address = os.environ["DURABLE_RAY_ADDRESS"]
ray.init(address, log_to_driver=False, runtime_env={"env_vars": {"SOME": "thing"}})
print("status", dr.Client().get_status("nobody"))
try:
    dr.Client(store=os.environ["DURABLE_RAY_STORE"].replace("application_name=a", "application_name=b"))
except dr.DurableRayError:
    print(traceback.format_exc())
print("changed password", dr.Client(store=os.environ["DURABLE_RAY_STORE"].replace("password=", "password=new")).hub)
"""


@contextmanager
def arguments_watched() -> Iterator[set[str]]:
    """The names of programs that had the canary among their arguments at any time during the block."""
    found: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    arguments = (process / "cmdline").read_bytes()
                    if CANARY.encode() in arguments:
                        found.add(arguments.replace(b"\0", b" ").decode(errors="replace"))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def test_the_password_of_a_store_is_shown_nowhere(ray_cluster: None, postgres_url: str, tmp_path: Path) -> None:
    login, at, rest = postgres_url.partition("@")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_JOB_", "DURABLE_RAY_"))}
    environment = kept | {
        "DURABLE_RAY_ADDRESS": ray.get_runtime_context().gcs_address,
        "DURABLE_RAY_HUB": HUB,
        "DURABLE_RAY_STORE": f"{login}:{CANARY}{at}{rest}?application_name=a&password={CANARY}",
        "XDG_STATE_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=110, check=False
        )
        return done.stdout + done.stderr

    with arguments_watched() as seen:
        try:
            told = {"driver": run("-c", DRIVER)}
            for command in ("up", "doctor", "up --json", "status nobody --debug"):
                told[command] = run("-m", "durable_ray", *command.split())
        finally:
            stop_hub(HUB)
    for command in ("driver", "up", "doctor", "up --json"):
        assert "***" in told[command], told
    assert "status None" in told["driver"]
    assert "leave store= out" in told["driver"]
    assert f"changed password {HUB}" in told["driver"]
    assert "nobody" in told["status nobody --debug"]
    assert not [command for command, said in told.items() if CANARY in said]
    assert not seen
    # Among them the logs of registry, hosts and workers.
    logs = [path for path in Path(ray._private.worker._global_node.get_logs_dir_path()).rglob("*") if path.is_file()]
    assert any("registry" in path.name or "worker" in path.name for path in logs)
    assert not [path.name for path in logs if CANARY.encode() in path.read_bytes()]
