"""Several nodes on this machine, for `test_nodes`: run as a driver of its own, because a process has one cluster.

python -m tests.ray.nodes <what> <url of the store> <folder>
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

import durable_ray as dr
from durable_ray.actors.cluster.stopping import stop_hub
from tests.ray.orchestrators import wait_twice
from tests.ray_cluster import eventually, pid_of

PARTITIONS, ALONE, SHARED, LONG = 4, 4, 40, 4


@dr.activity
def node_of(seconds: float) -> str:
    """Where it ran."""
    time.sleep(seconds)
    return str(ray.get_runtime_context().get_node_id())


@dr.activity
def until_there_is(folder: str) -> str:
    """Notes where it begins, and goes on when it may."""
    node = str(ray.get_runtime_context().get_node_id())
    with (Path(folder) / "begun").open("a") as file:
        file.write(node + "\n")
    while not (Path(folder) / "go").exists():
        time.sleep(0.05)
    return node


@dr.orchestrator
async def nodes_of(ctx: dr.OrchestrationContext, count: int) -> list[str]:
    return await asyncio.gather(*(ctx.call_activity(node_of, 0.2) for _ in range(count)))


@dr.orchestrator
async def wait_in_activities(ctx: dr.OrchestrationContext, folder: str) -> list[str]:
    return await asyncio.gather(*(ctx.call_activity(until_there_is, folder) for _ in range(LONG)))


@contextmanager
def two_nodes() -> Iterator[tuple[Cluster, Any]]:
    """A head that outlives what happens, and a second node."""
    # A node that says nothing is given up after a second and a half, for Ray's 15 s.
    impatient = {"health_check_period_ms": 500, "health_check_failure_threshold": 3, "health_check_initial_delay_ms": 0}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "include_dashboard": False, "_system_config": impatient},
    )
    try:
        second = cluster.add_node(num_cpus=2)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster, second
    finally:
        stop_hub("nodes")
        ray.shutdown()
        cluster.shutdown()


def activities(store: str, folder: str) -> None:
    """Activities run on every node; those of one that is lost run again; one that joins gets its share."""
    with two_nodes() as (cluster, second):
        client = dr.Client(hub="nodes", store=store, settings=dr.HubSettings(partitions=1))
        head = ray.get_runtime_context().get_node_id()
        assert set(client.start_new(nodes_of, 12).wait_for_completion(60)) == {head, second.node_id}
        waiting = client.start_new(wait_in_activities, folder)
        begun = Path(folder) / "begun"
        eventually(lambda: begun.exists() and len(begun.read_text().splitlines()) == LONG, "all have begun")
        lost = begun.read_text().splitlines().count(second.node_id)
        assert 0 < lost < LONG
        cluster.remove_node(second, allow_graceful=False)
        eventually(lambda: len(begun.read_text().splitlines()) == LONG + lost, "what was lost has begun again")
        (Path(folder) / "go").touch()
        assert waiting.wait_for_completion(60) == [head] * LONG
        third = cluster.add_node(num_cpus=2)
        eventually(
            lambda: third.node_id in client.start_new(nodes_of, 12).wait_for_completion(60), "the new one is used"
        )
        print("activities: all well", flush=True)


def hosts(store: str, folder: str) -> None:
    """Registry, partitions and dedicated instances of a lost node go on elsewhere, with whatever comes meanwhile."""
    with two_nodes() as (cluster, second):
        client = dr.Client(
            hub="nodes", store=store, settings=dr.HubSettings(partitions=PARTITIONS, max_dedicated=ALONE)
        )
        handles = [client.start_new(wait_twice, instance_id=f"own-{n}") for n in range(ALONE)]
        handles += client.start_many(wait_twice, [None] * SHARED)
        for handle in handles:
            handle.wait_for_start(60)
        raylet = psutil.Process(second.all_processes["raylet"][0].process.pid)
        targets = [f"partition-{n}" for n in range(PARTITIONS)] + [f"instance:own-{n}" for n in range(ALONE)]
        eventually(lambda: registry_is_below(client, raylet), "the registry lives on the second node")
        lost = [
            "registry",
            *(target for target in targets if raylet in psutil.Process(pid_of(client, target)).parents()),
        ]
        cluster.remove_node(second, allow_graceful=False)
        for handle in handles:
            handle.raise_event("Go", handle.instance_id)
        results = client.wait_many(handles, 120)
        assert results == [[handle.instance_id, None] for handle in handles], results
        print("hosts: all well,", len(lost), "were lost", flush=True)


def frozen(store: str, folder: str) -> None:
    """A machine with the registry freezes: it says nothing, and its sessions with the database stay. Another takes over."""
    with two_nodes() as (_, second):
        client = dr.Client(hub="nodes", store=store, settings=dr.HubSettings(partitions=PARTITIONS))
        handles = client.start_many(wait_twice, [None] * SHARED)
        for handle in handles:
            handle.wait_for_start(60)
        raylet = psutil.Process(second.all_processes["raylet"][0].process.pid)
        eventually(lambda: registry_is_below(client, raylet), "the registry lives on the second node")
        machine = [raylet, *raylet.children(recursive=True)]
        for process in machine:
            process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            for handle in handles:
                handle.raise_event("Go", handle.instance_id)
            late = client.start_new(nodes_of, 1, instance_id="late")
            results = client.wait_many(handles, 150)
            assert results == [[handle.instance_id, None] for handle in handles], results
            assert len(late.wait_for_completion(60)) == 1
            print("frozen: all well after", round(time.monotonic() - began, 1), "s", flush=True)
            for process in machine:
                process.send_signal(signal.SIGCONT)
            # Whoever thaws is fenced: what it had of the hub is another's, and it ends.
            eventually(
                lambda: not any(process.is_running() for process in machine[1:] if is_actor(process)), "they end"
            )
            assert client.get_status("late").runtime_status == "Completed"
        finally:
            for process in machine:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def registry_is_below(client: dr.Client, raylet: psutil.Process) -> bool:
    """Whether the registry lives on that node; kills it otherwise, until Ray happens to restart it there.

    Where Ray places a hub's actors is Ray's affair: it may put all of them on one node.
    """
    try:
        process = psutil.Process(pid_of(client, "registry"))
    except (ray.exceptions.RayError, psutil.NoSuchProcess):
        return False
    if raylet in process.parents():
        return True
    process.kill()
    return False


def is_actor(process: psutil.Process) -> bool:
    """Whether this process is (or was) one of the hub's."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "Actor" in process.cmdline()[0]
    except (psutil.NoSuchProcess, IndexError):
        return False


if __name__ == "__main__":
    {"activities": activities, "hosts": hosts, "frozen": frozen}[sys.argv[1]](*sys.argv[2:])
