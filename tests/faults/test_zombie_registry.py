"""A registry whose hub another cluster has taken writes nothing more, says whose the hub is, and is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

import durable_ray as dr
from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Fenced, HubInUse, Store
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import DefinitionRow, InstanceQuery
from durable_ray.orchestrations.schedules.documents import encode_schedule
from durable_ray.orchestrations.schedules.state import ScheduleResumed
from durable_ray.testing import TestHub
from tests.faults.shapes import collector
from tests.store_contract.test_fences import contents

pytestmark = pytest.mark.fault

ROW = DefinitionRow("activity", "new", "", "c", "value", b"", options='{"name": "new"}')
NIGHTLY = dr.Schedule(dr.ScheduleSpec("@daily"), dr.ScheduleAction("faults.collector"))
OURS = "locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"


@dr.orchestrator(name="zombies.fails")
async def fails(ctx: dr.OrchestrationContext) -> None:
    raise ValueError("no")


#: What a client, a host or the clock has a registry do, and that writes.
DOORS: dict[str, Callable[[Registry], Awaitable[object]]] = {
    "purge": lambda r: r.purge("done"),
    "purge_page": lambda r: r.purge_page(InstanceQuery(), 10),
    "erase": lambda r: r.erase(force=True),
    "register": lambda r: r.register([ROW]),
    "restart": lambda r: r.restart("q", "done", "again"),
    "rewind": lambda r: r.rewind("q", "failed"),
    "retention": lambda r: r.purge_expired(),
    "create_schedule": lambda r: r.create_schedule("q", "new", encode_schedule(NIGHTLY)),
    "change_schedule": lambda r: r.change_schedule("q", "paused", ScheduleResumed()),
    "delete_schedule": lambda r: r.delete_schedule("paused"),
    "heartbeat": lambda r: r.blocking(lambda: r.store.heartbeat(9)),
    "receipts": lambda r: r.blocking(lambda: r.store.forget_receipts(2**62, 10)),
    "permits": lambda r: r.blocking(lambda: r.store.forget_permits(["h"])),
    "slots": lambda r: r.blocking(lambda: r.store.release("faults.collector", 1, 2**62)),
    "residents": lambda r: r.blocking(lambda: r.store.mark_resident(["own"], False)),
}


@contextmanager
def taken_over(url: str) -> Iterator[tuple[TestHub, Store]]:
    """A hub, and the store of another cluster that has taken it because the lock was lost."""
    settings = HubSettings(partitions=1, sweep_interval=600, retain_for=0)
    with TestHub(url, settings=settings) as hub:
        hub.client.start_new(collector, 0, instance_id="done", placement="shared").wait_for_completion(10)
        with pytest.raises(dr.OrchestrationFailed):
            hub.client.start_new(fails, instance_id="failed").wait_for_completion(10)
        hub.client.start_new(collector, 1, instance_id="own").wait_for_start(10)
        hub.client.create_schedule("paused", collector, spec=NIGHTLY.spec, paused=True)
        hub.settle()
        if url.startswith("postgresql"):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"SELECT pg_terminate_backend(pid, 30000) FROM pg_locks WHERE {OURS}".encode())
        else:
            hub.store.database._hub_lock.release()  # type: ignore[attr-defined]
        other = open_store(url)
        try:
            other.acquire_hub("testing", "another cluster", "10.0.0.9:6379", 1, 4, "{}")
            yield hub, other
        finally:
            other.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    return str(request.getfixturevalue("postgres_url"))


def test_nothing_that_a_replaced_registry_does_reaches_the_store(url: str) -> None:
    with taken_over(url) as (hub, other):
        registry, before = hub.hub.registry, contents(other)
        for name, raw_hub in DOORS.items():
            with pytest.raises(Fenced):
                hub.on_loop(raw_hub(registry)).result(60)
            assert contents(other) == before, f"{name} wrote"


def test_its_users_are_told_who_owns_the_hub_and_it_is_done(url: str) -> None:
    with taken_over(url) as (hub, _):
        registry, heard = hub.hub.registry, []
        registry.on_fenced = lambda: heard.append("fenced")
        for _ in range(2):
            with pytest.raises(HubInUse) as refused:
                hub.client.start_new(collector, 1, instance_id="new")
            assert refused.value.address == "10.0.0.9:6379"
        with pytest.raises(HubInUse):
            hub.client.purge("done")
        with pytest.raises(HubInUse):
            hub.client.get_status("done")  # also what would only read: whoever asks is in the wrong cluster
        assert heard == ["fenced"]


def test_a_registry_that_nobody_asks_finds_by_its_heartbeat_that_it_is_done(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    with taken_over(url) as (hub, _):
        registry = hub.hub.registry
        with pytest.raises(Fenced):
            hub.on_loop(registry._upkeep()[0]()).result(10)
        assert registry.fenced_by is not None


def test_what_a_replaced_host_notes_beside_its_turns_is_refused_too(url: str) -> None:
    with taken_over(url) as (hub, other):
        host, before = hub.hub.hosts[dedicated_host("own")], contents(other)
        writes = (lambda: host.store.note_recovery("own"), lambda: host.store.set_waiting_reason("own", "x"))

        async def all_of_them() -> list[object]:
            # Together: the host that learns of its successor by the first closes, and takes no second.
            return await asyncio.gather(*(host.background.blocking(write) for write in writes), return_exceptions=True)

        assert [type(error) for error in hub.on_loop(all_of_them()).result(60)] == [Fenced, Fenced]
        assert contents(other) == before
        assert host.moved, "it does not know that it is done"
        # It is being closed, or was: whatever it still tries is refused before it is tried, and by the same error.
        with pytest.raises(Fenced):
            hub.on_loop(host.background.blocking(lambda: pytest.fail("it was called"))).result(60)
