"""Where Ray can be asked for one, the next dedicated instance begins in a process that was there before it was started."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import psutil
import pytest

import durable_ray as dr
from tests.ray.orchestrators import wait_for_go
from tests.ray_cluster import eventually, kill_9, pid_of, running_hub

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def client(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dr.Client]:
    with running_hub(tmp_path_factory.mktemp("hub")) as client:
        _calm()
        yield client


def _calm() -> None:
    """Until Ray starts no processes of its own accord: it has some ready for its driver, and they come late."""
    seen = {-1}
    while seen != (seen := idle_processes()):
        time.sleep(2)


def idle_processes() -> set[int]:
    """Processes of this cluster that are ready and that Ray has given to nobody.

    Ready: they listen, thus they have registered. One that is killed before counts as starting for another minute with Ray,
    which starts no more at a time than the machine has cores: on two, two of them would stop every start (docs/limits.md).
    """
    idle = set()
    for process in psutil.Process().children(recursive=True):
        try:
            listens = any(socket.status == psutil.CONN_LISTEN for socket in process.net_connections("inet"))
            if listens and process.cmdline()[:1] == ["ray::IDLE"]:
                idle.add(process.pid)
        except (psutil.Error, IndexError):
            pass
    return idle


def started(client: dr.Client, instance_id: str) -> int:
    """Start a dedicated instance; its process."""
    client.start_new(wait_for_go, instance_id=instance_id, placement="dedicated").wait_for_start(60)
    return pid_of(client, f"instance:{instance_id}")


def test_the_next_one_takes_the_process_in_reserve(client: dr.Client) -> None:
    before = idle_processes()
    started(client, "first")
    eventually(lambda: idle_processes() - before, "a process is kept in reserve")
    reserve = idle_processes()
    assert started(client, "second") in reserve


def test_one_that_is_killed_in_reserve_affects_no_start(client: dr.Client) -> None:
    before = idle_processes()
    started(client, "third")
    for pid in eventually(lambda: idle_processes() - before, "the reserve is filled again"):
        with contextlib.suppress(ProcessLookupError):
            kill_9(pid)
    started(client, "fourth")
    client.raise_event("fourth", "Go", 4)
    assert client.wait_for_completion("fourth", 60) == 4


def test_a_hub_may_do_without(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_hub(tmp_path_factory.mktemp("cold"), warm_processes=0) as client:
        started(client, "alone")
        client.raise_event("alone", "Go", "on")
        assert client.wait_for_completion("alone", 60) == "on"
