"""Many at once: ten thousand shared instances in two processes, hundreds of dedicated ones in eight."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import durable_ray as dr
from durable_ray.actors.cluster.handles import named_in
from tests.ray.orchestrators import child_job, collect, parent_job, wait_for_go
from tests.ray_cluster import eventually, pid_of, running_hub

pytestmark = pytest.mark.ray

MANY = 10_000
EVENTS = 12
MIB = 1024 * 1024


def test_ten_thousand_instances_in_flight_need_no_process_each(fresh_ray_client: dr.Client) -> None:
    client = fresh_ray_client
    client.start_new(wait_for_go).wait_for_start(30)
    process = psutil.Process(pid_of(client, "partition-0"))
    before, processes = process.memory_info().rss, _ray_processes()
    handles = client.start_many(wait_for_go, [None] * MANY)
    eventually(lambda: client.get_status(handles[-1].instance_id).runtime_status == "Running", "the last one runs")
    grown = process.memory_info().rss - before
    assert _ray_processes() <= processes + 1
    assert grown < 200 * MIB, f"{grown / MANY / 1024:.1f} KiB an instance"
    for handle in handles[:200]:
        handle.raise_event("Go", handle.instance_id)
    assert client.wait_many(handles[:200], 60) == [handle.instance_id for handle in handles[:200]]


def _ray_processes() -> int:
    """Of this cluster: others on this machine may come and go."""
    return sum("ray::" in " ".join(_command(process)) for process in psutil.Process().children(recursive=True))


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has ended meanwhile


@pytest.mark.timeout(240)
def test_never_more_dedicated_actors_than_admitted(fresh_ray_client: dr.Client) -> None:
    _admitted_all(fresh_ray_client, parents=12, jobs=16)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_hundred_dedicated_instances_eight_at_a_time(fresh_ray_client: dr.Client) -> None:
    _admitted_all(fresh_ray_client, parents=100, jobs=100)


def _admitted_all(client: dr.Client, parents: int, jobs: int) -> None:
    """`parents` wait for a dedicated child each: they make way for their children, or nobody would get anywhere."""
    with _counting(client.hub) as counts:
        handles = [client.start_new(parent_job, n, instance_id=f"parent-{n}") for n in range(parents)]
        handles += [client.start_new(child_job, n, instance_id=f"job-{n}") for n in range(jobs)]
        results = client.wait_many(handles, 1500)
    assert results == [*(n + 1 for n in range(parents)), *range(jobs)]
    assert 1 <= max(counts) <= 8, f"{max(counts)} dedicated actors were alive at once"


@pytest.mark.timeout(300)
def test_a_place_is_taken_until_its_process_has_ended(ray_cluster: None, tmp_path: Path) -> None:
    """Four share two places and make way for each other, while mail comes for those that leave."""
    with running_hub(tmp_path, max_dedicated=2) as client:
        handles = [client.start_new(collect, EVENTS, instance_id=f"i{n}") for n in range(4)]

        def send(handle: dr.OrchestrationHandle) -> None:
            chance = random.Random(handle.instance_id)
            for number in range(EVENTS):
                time.sleep(chance.uniform(0, 0.7))
                handle.raise_event("e", number)

        with _counting(client.hub) as counts, ThreadPoolExecutor(len(handles)) as threads:
            list(threads.map(send, handles))
            assert client.wait_many(handles, 240) == [list(range(EVENTS))] * len(handles)
        assert max(counts) <= 2, f"{max(counts)} dedicated actors were alive at once"


@contextmanager
def _counting(hub: str) -> Iterator[list[int]]:
    """How many dedicated actors there were, looked up again and again."""
    counts: list[int] = []
    done = threading.Event()

    def count() -> None:
        while not done.wait(0.02):
            counts.append(len(named_in(hub)))

    counter = threading.Thread(target=count)
    counter.start()
    try:
        yield counts
    finally:
        done.set()
        counter.join()
