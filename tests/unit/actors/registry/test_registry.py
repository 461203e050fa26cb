"""The registry and admission: starts are found again, sleepers woken, nudges may be lost, processes are few."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.activities.permits import ActivityPermits
from durable_ray.actors.cluster.ray_actors.registry_actor import RegistryActor
from durable_ray.actors.errors import InstanceAlreadyExists, UnknownDefinition
from durable_ray.actors.instances.placement import dedicated_host, is_dedicated
from durable_ray.actors.messages import Ending
from durable_ray.actors.registry.admission import Admission
from durable_ray.actors.registry.persistence import RetriedOpening
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.records import InboxMessage
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.testing import TestHub


@dr.orchestrator(name="registry.collect")
async def collect(ctx: dr.OrchestrationContext, count: int) -> list[Any]:
    return [await ctx.wait_for_external_event("e") for _ in range(count)]


@dr.orchestrator(name="registry.naps")
async def naps(ctx: dr.OrchestrationContext, hours: int) -> str:
    await ctx.create_timer(timedelta(hours=hours))
    return "awake"


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """Its sweeps happen only when a test asks for one."""
    with TestHub(settings=HubSettings(partitions=2, sweep_interval=600, max_dedicated=2)) as one:
        yield one


def on(hub: TestHub, work: Any) -> Any:
    return hub.on_loop(work).result(10)


def sweep(hub: TestHub) -> None:
    for part in (hub.hub.registry.admission, hub.hub.registry.notifier):
        on(hub, part.sweep())


def hosts(hub: TestHub) -> set[str]:
    return {name for name in hub.hub.hosts if is_dedicated(name)}


def fall_asleep(hub: TestHub, name: str) -> None:
    hub.settle()
    assert on(hub, hub.hub.registry.admission.hosts.passivate(name))
    assert dedicated_host(name) not in hosts(hub)


def put(hub: TestHub, name: str, number: int) -> None:
    """A message whose nudge got lost."""
    body = encode_event(ev.EventRaised("e", str(number)))
    hub.store.commit(None, [InboxMessage(name, f"m{number}", body)])


def test_never_more_processes_than_allowed_and_the_rest_come_in_order(hub: TestHub) -> None:
    handles = [hub.client.start_new(collect, 1, instance_id=f"i{n}") for n in range(5)]
    for handle in handles:
        handle.raise_event("e", 1)
        assert len(hosts(hub)) <= 2
    assert [handle.wait_for_completion(timeout=20) for handle in handles] == [[1]] * 5


def test_an_event_wakes_a_sleeper(hub: TestHub) -> None:
    handle = hub.client.start_new(collect, 1, instance_id="s")
    fall_asleep(hub, "s")
    handle.raise_event("e", 1)
    assert handle.wait_for_completion(timeout=10) == [1]


def test_a_timer_wakes_a_sleeper_although_others_are_overdue_and_wait(hub: TestHub) -> None:
    sleeper = hub.client.start_new(naps, 5, instance_id="s")
    assert sleeper.wait_for_completion(timeout=10) == "awake"


@pytest.mark.parametrize("placement", ["shared", "dedicated"])
def test_a_lost_nudge_is_found_by_the_sweep(hub: TestHub, placement: str) -> None:
    handle = hub.client.start_new(collect, 1, instance_id="i", placement=placement)
    hub.settle()
    put(hub, "i", 1)
    hub.settle()
    assert handle.get_status().runtime_status == "Running"
    sweep(hub)
    assert handle.wait_for_completion(timeout=10) == [1]


def test_a_lost_start_is_found_by_the_sweep(hub: TestHub) -> None:
    hub.client.start_new(collect, 0, instance_id="warm", placement="shared").wait_for_completion(timeout=10)
    registry = hub.hub.registry
    wake, registry.notify = registry.notify, lambda targets: None  # type: ignore[method-assign]
    handle = hub.client.start_new(collect, 0, instance_id="lost", placement="shared")
    hub.settle()
    assert handle.get_status().runtime_status == "Pending"
    registry.notify = wake  # type: ignore[method-assign]
    sweep(hub)
    assert handle.wait_for_completion(timeout=10) == []


def test_a_nudge_while_an_actor_is_being_made_reaches_it(hub: TestHub) -> None:
    admission = hub.hub.registry.admission
    create = admission.hosts.create
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> None:
        await create(*args)  # it has looked into the store by now
        begun.set()
        await go.wait()

    admission.hosts.create = slow  # type: ignore[method-assign]
    handle = hub.client.start_new(collect, 1, instance_id="i")
    on(hub, begun.wait())
    put(hub, "i", 1)
    on(hub, hub.hub.registry.notifier.notify([(dedicated_host("i"), "i")]))

    async def let_go() -> None:
        go.set()

    on(hub, let_go())
    assert handle.wait_for_completion(timeout=10) == [1]


def test_one_that_is_asked_for_while_it_leaves_comes_back(hub: TestHub) -> None:
    hub.client.start_new(collect, 1, instance_id="i")
    fall_asleep(hub, "i")
    admission = hub.hub.registry.admission
    on(hub, hub.hub.registry.ensure(dedicated_host("i")))
    process = hub.hub.hosts[dedicated_host("i")]
    process.moved = True
    leaving = hub.on_loop(admission.passivating("i"))
    asked = hub.on_loop(hub.hub.registry.ensure(dedicated_host("i")))
    on(hub, asyncio.sleep(0.1))
    assert hub.hub.hosts[dedicated_host("i")] is process
    on(hub, hub.hub.drop(dedicated_host("i")))
    leaving.result(10)
    assert asked.result(10), "it was taken for one that cannot be had"
    assert hub.hub.hosts[dedicated_host("i")] is not process


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "stays"])
def test_the_place_of_one_that_leaves_is_taken_until_it_is_away(hub: TestHub, ends: bool) -> None:
    """Mail for it comes between its resolve to leave and its word; it may find that it has to stay."""
    handles = [hub.client.start_new(collect, 1, instance_id=name) for name in ("i", "j")]
    hub.settle()
    admission = hub.hub.registry.admission
    create, alive = admission.hosts.create, []

    async def counts(row: Any, *args: Any) -> None:
        alive.append((row.instance_id, len(hosts(hub) - {row.host}) + 1))
        await create(row, *args)

    admission.hosts.create = counts  # type: ignore[method-assign]
    for name in ("i", "j"):
        hub.hub.hosts[dedicated_host(name)].moved = True
    handles.append(hub.client.start_new(collect, 1, instance_id="k"))
    put(hub, "i", 1)
    on(hub, hub.hub.registry.notifier.notify([(dedicated_host("i"), "i")]))
    assert not admission.is_running("i")
    on(hub, asyncio.sleep(0.1))
    assert alive == []
    if ends:
        on(hub, hub.hub.drop(dedicated_host("i")))
    for name in {"i", "j"} - ({"i"} if ends else set()):
        hub.hub.hosts[dedicated_host(name)].moved = False
    hub.settle()
    handles[1].raise_event("e", 1)
    handles[2].raise_event("e", 1)
    assert [handle.wait_for_completion(timeout=10) for handle in handles] == [[1]] * 3
    assert {name for name, _ in alive} >= ({"i", "k"} if ends else {"k"})
    assert all(count <= 2 for _, count in alive)


def test_a_late_goodbye_of_a_predecessor_does_not_lose_its_successor(hub: TestHub) -> None:
    handle = hub.client.start_new(collect, 1, instance_id="i")
    hub.settle()
    process = hub.hub.hosts[dedicated_host("i")]
    on(hub, hub.hub.registry.admission.passivating("i"))
    assert hub.hub.registry.admission.is_running("i")
    handle.raise_event("e", 1)
    assert handle.wait_for_completion(timeout=10) == [1]
    assert process.moved or hub.hub.hosts[dedicated_host("i")] is process


def test_one_whose_process_vanished_is_brought_back(hub: TestHub) -> None:
    handle = hub.client.start_new(collect, 1, instance_id="i")
    hub.settle()
    on(hub, hub.hub.drop(dedicated_host("i")))
    put(hub, "i", 1)
    sweep(hub)
    assert handle.wait_for_completion(timeout=10) == [1]


def test_one_that_is_marked_resident_without_a_process_is_found(hub: TestHub) -> None:
    handle = hub.client.start_new(collect, 1, instance_id="i")
    fall_asleep(hub, "i")
    hub.store.mark_resident(["i"])
    put(hub, "i", 1)
    sweep(hub)
    assert handle.wait_for_completion(timeout=10) == [1]


def test_waiting_at_the_registry(hub: TestHub) -> None:
    registry = hub.hub.registry
    hub.client.start_new(collect, 1, instance_id="awake")
    hub.client.start_new(collect, 1, instance_id="asleep")
    fall_asleep(hub, "asleep")
    assert on(hub, registry.wait(["nobody"], 5)) == [Ending("nobody", "absent")]
    assert on(hub, registry.wait(["awake"], 5)) == [Ending("awake", "moved")]
    assert on(hub, registry.wait(["asleep"], 0.01)) == []
    waits = hub.on_loop(registry.wait(["asleep"], 10))
    hub.client.raise_event("asleep", "e", 1)
    assert waits.result(10)[0].status in ("moved", "Completed")
    hub.client.wait_for_completion("asleep", 10)
    (ending,) = on(hub, registry.wait(["asleep"], 5))
    assert (ending.status, ending.output) == ("Completed", "[1]")
    assert registry.waiters.waited_for() == []


def test_what_may_not_be_started_is_refused(hub: TestHub) -> None:
    hub.client.start_new(collect, 1, instance_id="i")
    with pytest.raises(InstanceAlreadyExists):
        hub.client.start_new(collect, 1, instance_id="i")
    with pytest.raises(UnknownDefinition):
        hub.client.start_new("nobody")
    same = hub.client.start_new(collect, 1, instance_id="i", if_exists="use_existing")
    same.raise_event("e", 1)
    assert same.wait_for_completion(timeout=10) == [1]
    with pytest.raises(InstanceAlreadyExists):
        hub.client.start_new(collect, 1, instance_id="i", if_exists="reject_finished")
    again = hub.client.start_new(collect, 0, instance_id="i")
    assert again.wait_for_completion(timeout=10) == []


def test_a_finished_host_that_lingers_makes_room_for_who_waits(hub: TestHub) -> None:
    begun = time.monotonic()
    handles = [hub.client.start_new(collect, 0, instance_id=f"q{n}") for n in range(12)]
    assert [handle.wait_for_completion(timeout=20) for handle in handles] == [[]] * 12
    assert time.monotonic() - begun < 20, "they waited for a linger or a sweep"


def test_one_that_could_not_be_marked_is_not_counted_for_ever(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = hub.client.start_new(collect, 1, instance_id="i")
    fall_asleep(hub, "i")
    mark = hub.hub.registry.store.mark_resident
    failures = [True, True]

    def fails(*args: Any) -> None:
        if failures:
            failures.pop()
            raise StoreError("busy")
        mark(*args)

    monkeypatch.setattr(hub.hub.registry.store, "mark_resident", fails)
    for ask in (hub.hub.registry.admission.admit, lambda: hub.hub.registry.ensure(dedicated_host("i"))):
        if not failures:
            break
        put(hub, "i", len(failures))
        with pytest.raises(StoreError):
            on(hub, ask())
    assert not hub.hub.registry.admission.has("i")
    sweep(hub)
    assert handle.wait_for_completion(timeout=10) in ([1], [2])


def test_words_of_hosts_are_answered_before_anything_follows_from_them(hub: TestHub, monkeypatch: Any) -> None:
    """A leaving process ends after its calls are answered, and answers none itself: to ask it first is to wait for ever."""
    registry = hub.hub.registry

    async def for_ever(*_: Any) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(registry, "finished", for_ever)
    monkeypatch.setattr(registry.notifier, "notify", for_ever)
    monkeypatch.setattr(registry.notifier, "ensure", for_ever)
    monkeypatch.setattr(registry.admission, "passivating", for_ever)

    async def tell() -> None:
        actor: Any = RegistryActor.__new__(RegistryActor)

        async def opened() -> Any:
            return registry

        actor._opening = RetriedOpening(opened, lambda error: False, "the registry")
        await actor.finished(["a"])
        await actor.notify_many([("instance:a", "a")])
        await actor.passivating("a")
        await actor.ask("fenced", ("instance:a",), {})
        await actor.ask("fenced", ("partition-0",), {})

    on(hub, asyncio.wait_for(tell(), 5))


def test_a_host_that_cannot_be_had_keeps_no_other_from_being_told(
    hub: TestHub, caplog: pytest.LogCaptureFixture
) -> None:
    handles = [hub.client.start_new(collect, 1, instance_id=f"s{n}", placement="shared") for n in range(20)]
    hub.settle()
    admission = hub.hub.registry.admission
    make = admission.hosts.ensure_partition

    async def fails(host: str, runtime_env: str | None) -> None:
        if host == "partition-0":
            raise RuntimeError("its environment cannot be made")
        await make(host, runtime_env)

    admission.hosts.ensure_partition = fails  # type: ignore[method-assign]
    homes = {row.instance_id: row.host for row in hub.store.rows([f"s{n}" for n in range(20)]).values()}
    assert set(homes.values()) == {"partition-0", "partition-1"}
    for host in ("partition-0", "partition-1"):
        on(hub, hub.hub.drop(host))
    for name in homes:
        put(hub, name, 1)
    on(hub, hub.hub.registry.notifier.notify([(host, name) for name, host in homes.items()]))
    hub.settle()
    finished = {
        handle.instance_id for handle in handles if hub.store.rows([handle.instance_id])[handle.instance_id].finished
    }
    assert finished == {name for name, host in homes.items() if host == "partition-1"}
    assert "its environment cannot be made" in caplog.text
    del admission.hosts.ensure_partition
    sweep(hub)
    assert [handle.wait_for_completion(timeout=10) for handle in handles] == [[1]] * 20


def test_a_chore_that_hangs_or_fails_keeps_no_other_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(_: Any) -> None:
        await asyncio.sleep(3600)

    async def fails(_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(ActivityPermits, "sweep", for_ever)
    monkeypatch.setattr(Admission, "sweep", fails)
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=0.05, retain_for=1)) as hub:
        handle = hub.client.start_new(collect, 0, instance_id="i")
        handle.wait_for_completion(timeout=10)
        forgotten = hub.client.start_new(collect, 1, instance_id="s", placement="shared")
        hub.settle()
        put(hub, "s", 1)
        assert forgotten.wait_for_completion(timeout=10) == [1]
        until = time.monotonic() + 10
        while hub.client.get_status("i") is not None:
            assert time.monotonic() < until, "nothing is purged"
            hub.advance(timedelta(seconds=1))
            time.sleep(0.02)


def test_receipts_are_forgotten_as_fast_as_they_come() -> None:
    """However many are over at a sweep: none is left for the next."""
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=600)) as hub:
        store: Any = hub.store
        rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)"
        insert = f"INSERT INTO receipts (request_id, outcome, expires) {rows} SELECT 'r' || i, 'ok', i FROM n"
        store.database.write(lambda session: session.plain(insert))
        hub.on_loop(hub.hub.registry.forget_receipts()).result(60)
        with store.database.read() as session:
            assert session.one(Statement(sqlite="SELECT count(*) FROM receipts")) == (0,)
