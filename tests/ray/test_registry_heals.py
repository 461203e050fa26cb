"""A registry that cannot open yet opens by itself when it can; one whose hub was taken ends. On a real PostgreSQL server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import ray

import durable_ray as dr
from durable_ray.actors.cluster.handles import find
from durable_ray.actors.cluster.stopping import stop_hub
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import InstanceQuery
from tests.postgres_server import PostgresServer, PostgresUnavailable, running_postgres
from tests.ray.orchestrators import hello_cities
from tests.ray_cluster import PATIENCE, eventually, kill_9, pid_of

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.postgres]

#: Seconds in which all is as it should be again, from the end of the cause, on a slow machine too.
BOUND = 30.0
LOCKS = "SELECT pg_terminate_backend(pid, 30000) FROM pg_locks WHERE locktype = 'advisory'"
#: A predecessor of the registry, as far as the lock goes: it waits for it, has it, and does nothing more.
HOLDER = """
import sys, psycopg
from durable_ray.actors.store.databases import postgres_lock
connection = psycopg.connect(sys.argv[1], autocommit=True)
print("waits", flush=True)
connection.execute(postgres_lock._TRY_LOCK.replace("pg_try_advisory_lock", "pg_advisory_lock"))
print("holds", flush=True)
sys.stdin.read()
"""


@dr.orchestrator
async def rings(ctx: dr.OrchestrationContext, seconds: float) -> str:
    await ctx.create_timer(timedelta(seconds=seconds))
    return "rang"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own: it is stopped."""
    try:
        with running_postgres() as one:
            yield one
    except PostgresUnavailable as missing:
        pytest.skip(f"no PostgreSQL: {missing}")


@contextmanager
def hub_on(server: PostgresServer) -> Iterator[dr.Client]:
    name = f"t{uuid4().hex[:8]}"
    server.execute(f"CREATE DATABASE {name}")
    client = dr.Client(hub=name, store=server.url(name), settings=dr.HubSettings(partitions=1))
    try:
        client.start_new(hello_cities, ["a"]).wait_for_completion(PATIENCE)
        yield client
    finally:
        stop_hub(name)


def restarted(client: dr.Client, pid: int) -> None:
    """Ray has made the registry anew, whether it is open or not."""

    def another() -> bool:
        try:
            return pid_of(client, "registry") != pid
        except ray.exceptions.RayError:
            return False

    eventually(another, "Ray restarts the registry")


def asked(client: dr.Client) -> Any:
    """What the registry says at once; the error, if it says that."""
    try:
        return ray.get(find(client.hub, "registry").ask.remote("counts", (), {}), timeout=PATIENCE)
    except Exception as error:
        return error


def all_is_well(client: dr.Client, timer: Any) -> float:
    """A timer rings and a start succeeds, by a client that was there before; seconds until then."""
    began = time.monotonic()
    assert timer.wait_for_completion(PATIENCE) == "rang"
    client.start_new(hello_cities, ["a"], instance_id=uuid4().hex).wait_for_completion(PATIENCE)
    return time.monotonic() - began


def test_a_registry_that_comes_back_before_its_server_opens_when_that_is_there(
    ray_cluster: None, server: PostgresServer
) -> None:
    with hub_on(server) as client:
        timer = client.start_new(rings, 1.0)
        timer.wait_for_start(PATIENCE)
        pid = pid_of(client, "registry")
        server.stop("immediate")
        try:
            kill_9(pid)
            restarted(client, pid)
            refused = asked(client)
            assert "cannot be opened yet" in str(refused), refused
        finally:
            server.start()
        assert all_is_well(client, timer) < BOUND


def test_a_registry_waits_for_the_lock_of_a_frozen_predecessor(ray_cluster: None, server: PostgresServer) -> None:
    with hub_on(server) as client:
        timer = client.start_new(rings, 1.0, instance_id="timer")
        timer.wait_for_start(PATIENCE)
        pid = pid_of(client, "registry")
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, server.url(client.hub)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline().strip() == "waits"
            with psycopg.connect(server.url(), autocommit=True) as connection:
                waits = b"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                eventually(lambda: connection.execute(waits).fetchone() == (1,), "it waits for the lock")
            kill_9(pid)
            assert holder.stdout.readline().strip() == "holds"
            os.kill(holder.pid, signal.SIGSTOP)
            restarted(client, pid)
            refused = asked(client)
            assert not isinstance(refused, dr.HubInUse), "it named its own cluster"
            assert "cannot be opened yet" in str(refused), refused
        finally:
            holder.kill()
            holder.wait()
        assert all_is_well(client, timer) < BOUND


def test_a_registry_whose_hub_another_cluster_took_ends_and_its_callers_get_the_owner(
    ray_cluster: None, server: PostgresServer
) -> None:
    with hub_on(server) as client:
        pid, host = pid_of(client, "registry"), pid_of(client, "partition-0")
        other = open_store(server.url(client.hub))
        try:
            with psycopg.connect(server.url(client.hub), autocommit=True) as connection:

                def taken() -> Any:
                    connection.execute(LOCKS.encode())
                    try:
                        return other.acquire_hub(client.hub, "another cluster", "10.0.0.9:6379", 1, 4, "{}")
                    except dr.HubInUse:
                        return None  # the registry was faster: it looks after its lock

                eventually(taken, "the lock is free for a moment")
            before = other.definitions()
            with pytest.raises(dr.HubInUse) as refused:
                client.purge_by()
            assert refused.value.address == "10.0.0.9:6379"

            def ended(process: int) -> bool:
                try:
                    os.kill(process, 0)
                except ProcessLookupError:
                    return True
                return False

            eventually(lambda: ended(pid), "the registry's process ends")
            with pytest.raises(dr.HubInUse):
                client.start_new(hello_cities, ["a"], instance_id="late").wait_for_completion(PATIENCE)
            eventually(lambda: ended(host), "a host that has nothing to write finds out, too")
            assert other.definitions() == before
            assert len(other.rows([row.instance_id for row in other.query(InstanceQuery(), 10).rows])) == 1, "it purged"
        finally:
            other.close()
