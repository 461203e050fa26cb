"""A Ray of the tests' own: one local cluster for the run, a fresh hub with a fresh store for each module (or test)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray

import durable_ray as dr
from durable_ray.actors.cluster.handles import find
from durable_ray.actors.cluster.stopping import stop_hub

#: Seconds within which whatever a test waits for must have happened, on a slow machine too.
PATIENCE = 60.0


@contextmanager
def running_ray(num_cpus: int = 4) -> Iterator[None]:
    """A local cluster that ends with the block. Real processes, real SIGKILL."""
    ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def running_hub(folder: Path, **settings: Any) -> Iterator[dr.Client]:
    """A hub of its own on a file in `folder`; its actors end with the block."""
    hub = f"t{uuid4().hex[:8]}"
    client = dr.Client(hub=hub, store=f"sqlite:///{folder / hub}.db", settings=dr.HubSettings(**settings))
    try:
        yield client
    finally:
        stop_hub(hub)


def pid_of(client: dr.Client, target: str) -> int:
    """The process of the registry ("registry") or of a host ("partition-0", "instance:<id>")."""
    return int(ray.get(find(client.hub, target).pid.remote(), timeout=PATIENCE))


def kill_9(pid: int) -> None:
    """As the kernel's OOM killer would."""
    os.kill(pid, signal.SIGKILL)


def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until `condition` is true and answer it; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
