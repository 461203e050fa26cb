"""A process that is stopped, which Ray takes for alive, is noticed and replaced; a registry that is gone is made anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import ray

import durable_ray as dr
from durable_ray.actors.cluster.handles import REGISTRY, find, named_in, system_namespace
from durable_ray.actors.store.opening import open_store
from tests.ray.orchestrators import say_hello
from tests.ray_cluster import PATIENCE, eventually, pid_of, running_hub

pytestmark = [pytest.mark.ray, pytest.mark.fault]

#: Seconds in which one that is stopped is replaced, on a slow machine too.
BOUND = 120.0


@dr.orchestrator
async def greets_when_told(ctx: dr.OrchestrationContext) -> str:
    return await ctx.call_activity(say_hello, await ctx.wait_for_external_event("Whom"))


@dr.orchestrator(idle_timeout=1.0)
async def naps_long(ctx: dr.OrchestrationContext, seconds: float) -> str:
    await ctx.create_timer(timedelta(seconds=seconds))
    return "rang"


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """These processes stand still; nothing of them is left afterwards."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue


def test_a_stopped_host_and_stopped_workers_are_replaced(ray_cluster: None, tmp_path: Path) -> None:
    with running_hub(tmp_path, partitions=1) as client:
        first = client.start_new(greets_when_told)
        first.raise_event("Whom", "Ada")
        greeting = first.wait_for_completion(PATIENCE)
        waits = client.start_new(greets_when_told)
        waits.wait_for_start(PATIENCE)
        workers = [name for name in named_in(system_namespace(client.hub)) if name.startswith("worker-")]
        with stopped(pid_of(client, "partition-0"), *(pid_of(client, name) for name in workers)):
            waits.raise_event("Whom", "Ada")
            assert waits.wait_for_completion(BOUND) == greeting


def test_a_stopped_registry_is_replaced(ray_cluster: None, tmp_path: Path) -> None:
    with running_hub(tmp_path, partitions=1) as client:
        client.start_new(greets_when_told).wait_for_start(PATIENCE)
        pid = pid_of(client, REGISTRY)
        with stopped(pid):
            handle = client.start_new(greets_when_told, instance_id="chosen")
            handle.raise_event("Whom", "Ada")
            assert "Ada" in handle.wait_for_completion(BOUND)
            assert pid_of(client, REGISTRY) != pid


def test_hosts_make_a_registry_where_there_is_none(ray_cluster: None, tmp_path: Path) -> None:
    """And timers ring that only it knows of, though no client asks for anything."""
    with running_hub(tmp_path, partitions=1) as client:
        client.start_new(greets_when_told).wait_for_start(PATIENCE)
        client.start_new(naps_long, 8.0, instance_id="sleeper").wait_for_start(PATIENCE)
        eventually(lambda: "sleeper" not in named_in(client.hub), "it leaves memory")
        ray.kill(find(client.hub, REGISTRY), no_restart=True)
        store = open_store(f"sqlite:///{tmp_path / client.hub}.db")
        try:
            eventually(lambda: store.rows(["sleeper"])["sleeper"].status == "Completed", "its timer rings", BOUND)
        finally:
            store.close()
