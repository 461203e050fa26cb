"""Trouble while processes of dedicated instances come and go: nobody is stuck, none is one too many. No hub here sweeps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.cluster.in_process import _Hosts
from durable_ray.actors.instances.placement import dedicated_host, is_dedicated
from durable_ray.actors.registry import admission
from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.records import InboxMessage
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.testing import TestHub
from tests.faults.test_order import SlowArrival, waiting

pytestmark = pytest.mark.fault


@dr.orchestrator(name="admission.collect")
async def collect(ctx: dr.OrchestrationContext, count: int) -> list[Any]:
    return [await ctx.wait_for_external_event("e") for _ in range(count)]


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=600, max_dedicated=2)) as one:
        yield one


def on(hub: TestHub, work: Any) -> Any:
    return hub.on_loop(work).result(10)


def begun(hub: TestHub, name: str, count: int = 1) -> Any:
    handle = hub.client.start_new(collect, count, instance_id=name)
    handle.wait_for_start(timeout=10)
    hub.settle()
    return handle


def asleep(hub: TestHub, name: str) -> Any:
    handle = begun(hub, name)
    assert on(hub, hub.hub.registry.admission.hosts.passivate(name))
    hub.settle()
    return handle


def actors(hub: TestHub) -> set[str]:
    return {name for name in hub.hub.hosts if is_dedicated(name)}


def put(hub: TestHub, name: str) -> None:
    body = encode_event(ev.EventRaised("e", "1"))
    hub.store.commit(None, [InboxMessage(name, f"mail for {name}", body)])


def fails_once(call: Callable[..., Any], when: Callable[..., bool], error: Exception) -> Callable[..., Any]:
    failures = [error]

    def failing(*args: Any) -> Any:
        if failures and when(*args):
            raise failures.pop()
        return call(*args)

    return failing


def first_mark_fails(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """The first instance to be given a process is not: set when that is asked for, and to be set to let it fail."""
    mark, at, go = hub.hub.registry.store.mark_resident, threading.Event(), threading.Event()

    def busy(ids: Sequence[str], resident: bool = True) -> None:
        if resident and not at.is_set():
            at.set()
            go.wait(10)
            raise StoreError("busy")
        mark(ids, resident)

    monkeypatch.setattr(hub.hub.registry.store, "mark_resident", busy)
    return at, go


def test_what_a_registry_s_successor_finds_is_told_before_anybody_is_sent_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its predecessor has acknowledged mail, while the process arrived, that nobody has told the process of."""
    arrival = SlowArrival(monkeypatch)
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=600)) as hub:
        handle = arrival.begin(hub, 2)
        handle.raise_event("e", 1)

        async def restart() -> None:
            old = hub.hub.registry
            fence = await asyncio.get_running_loop().run_in_executor(None, hub.store.acquire_lease, "registry")
            old._background.tasks.cancel()
            hub.hub.registry = Registry(hub.store, fence, hub.hub.clock, hub.hub.settings, _Hosts(hub.hub))
            await hub.hub.registry.open()

        on(hub, restart())
        handle.raise_event("e", 2)
        arrival.go.set()
        assert handle.wait_for_completion(timeout=10) == [1, 2]


def test_mail_for_one_that_cannot_be_reached_is_told_before_it_is_acknowledged(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, other = begun(hub, "i", 2), begun(hub, "j")
    notify, broken = _Hosts.notify, [Unreachable("broken pipe")]

    async def breaks(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        if broken and host == dedicated_host("i"):
            raise broken.pop()
        return await notify(hosts, host, instance_ids)

    monkeypatch.setattr(_Hosts, "notify", breaks)
    handle.raise_event("e", 1, idempotency_key="k")
    handle.raise_event("e", 2)
    assert handle.wait_for_completion(timeout=10) == [1, 2]
    put(hub, "j")
    broken.append(Unreachable("broken pipe"))
    on(hub, hub.hub.registry.notifier.notify([(dedicated_host("i"), "i"), (dedicated_host("j"), "j")]))
    assert other.wait_for_completion(timeout=10) == [1]


def test_an_admission_that_fails_does_not_take_another_s_along(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = asleep(hub, "i"), asleep(hub, "j")
    at, go = first_mark_fails(hub, monkeypatch)
    first.raise_event("e", 1)
    assert at.wait(10)
    second.raise_event("e", 2)
    go.set()
    assert [first.wait_for_completion(timeout=10), second.wait_for_completion(timeout=10)] == [[1], [2]]


def test_a_question_to_make_way_that_fails_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    leave, failures = _Hosts.passivate, [RuntimeError("no answer")]

    async def fails(hosts: _Hosts, instance_id: str) -> bool:
        if failures:
            raise failures.pop()
        return await leave(hosts, instance_id)

    with TestHub(settings=HubSettings(partitions=1, sweep_interval=600, max_dedicated=1)) as hub:
        begun(hub, "i")
        monkeypatch.setattr(_Hosts, "passivate", fails)
        assert hub.client.start_new(collect, 0, instance_id="j").wait_for_completion(timeout=10) == []
        assert not failures


def test_a_place_that_the_store_does_not_take_back_at_once_is_free_when_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=600, max_dedicated=1)) as hub:
        handle = begun(hub, "i")
        busy = fails_once(
            hub.hub.registry.store.mark_resident, lambda ids, resident=True: not resident, StoreError("busy")
        )
        monkeypatch.setattr(hub.hub.registry.store, "mark_resident", busy)
        hub.hub.hosts[dedicated_host("i")].moved = True
        put(hub, "i")
        on(hub, hub.hub.registry.notifier.notify([(dedicated_host("i"), "i")]))
        on(hub, hub.hub.drop(dedicated_host("i")))
        assert handle.wait_for_completion(timeout=10) == [1]


def test_one_that_leaves_while_it_is_first_told_of_mail_comes_back_for_it(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify, at, go = _Hosts.notify, threading.Event(), threading.Event()

    async def fails(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        if not at.is_set():
            at.set()
            await waiting(go)
            raise Unreachable("no answer")
        return await notify(hosts, host, instance_ids)

    monkeypatch.setattr(_Hosts, "notify", fails)
    handle = hub.client.start_new(collect, 1, instance_id="i")
    assert at.wait(10)
    process = hub.hub.hosts[dedicated_host("i")]
    on(hub, quiet(process))
    process.moved = True
    hub.store.mark_resident(["i"], False)
    put(hub, "i")
    go.set()
    on(hub, hub.hub.registry.notifier.notify([(dedicated_host("i"), "i")]))
    on(hub, hub.hub.drop(dedicated_host("i")))
    assert handle.wait_for_completion(timeout=10) == [1]


async def quiet(host: Any) -> None:
    while not host.idle:
        await asyncio.sleep(0.001)


def test_room_is_counted_when_it_is_given_away(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is asked for by name comes in while the store says who waits."""
    begun(hub, "a")
    asleep(hub, "b")
    ask, at, go = hub.store.dedicated_waiting, threading.Event(), threading.Event()

    def slowly(*args: Any) -> Any:
        found = ask(*args)
        if found and not at.is_set():
            at.set()
            go.wait(10)
        return found

    most = 0
    create = _Hosts.create

    async def counted(hosts: _Hosts, *args: Any) -> None:
        nonlocal most
        await create(hosts, *args)
        most = max(most, len(actors(hub)))

    monkeypatch.setattr(hub.hub.registry.store, "dedicated_waiting", slowly)
    monkeypatch.setattr(_Hosts, "create", counted)
    starter = threading.Thread(target=lambda: hub.client.start_new(collect, 0, instance_id="k"))
    starter.start()
    assert at.wait(10)
    assert on(hub, hub.hub.registry.ensure(dedicated_host("b")))
    go.set()
    starter.join()
    assert hub.client.wait_for_completion("k", timeout=10) == []
    assert most == 2


def test_nobody_s_actor_is_made_for_one_that_was_purged_while_it_left(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.client.start_new(collect, 0, instance_id="i").wait_for_completion(timeout=10)
    hub.settle()
    hub.hub.hosts[dedicated_host("i")].moved = True
    asked = hub.on_loop(hub.hub.registry.ensure(dedicated_host("i")))
    on(hub, asyncio.sleep(0.1))
    hub.store.purge([hub.store.rows(["i"])["i"].row_version])
    on(hub, hub.hub.drop(dedicated_host("i")))
    assert not asked.result(10)
    assert actors(hub) == set()


def test_one_whose_actor_cannot_be_made_keeps_nobody_from_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    create, attempts = _Hosts.create, []

    async def fails(hosts: _Hosts, row: Any, *rest: Any) -> None:
        attempts.append(row.instance_id)
        if attempts.count("broken") < 4 and row.instance_id == "broken":
            raise RuntimeError("its environment cannot be made")
        await create(hosts, row, *rest)

    monkeypatch.setattr(_Hosts, "create", fails)
    monkeypatch.setattr(admission, "_FIRST_PAUSE", 0.02)
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=600, max_dedicated=1)) as hub:
        broken = hub.client.start_new(collect, 0, instance_id="broken")
        others = [hub.client.start_new(collect, 0, instance_id=f"o{n}") for n in range(3)]
        assert [handle.wait_for_completion(timeout=10) for handle in others] == [[]] * 3
        assert broken.wait_for_completion(timeout=10) == []
        assert attempts.count("broken") == 4


def test_one_that_does_not_say_whether_it_leaves_keeps_nobody_from_a_free_place(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(hub, "a")
    begun(hub, "b")
    leave = _Hosts.passivate

    async def silent(hosts: _Hosts, instance_id: str) -> bool:
        if instance_id == "a":
            await asyncio.Event().wait()
        return await leave(hosts, instance_id)

    monkeypatch.setattr(_Hosts, "passivate", silent)
    handle = hub.client.start_new(collect, 0, instance_id="c")
    on(hub, hub.hub.drop(dedicated_host("b")))
    on(hub, hub.hub.registry.passivating("b"))
    assert handle.wait_for_completion(timeout=4) == []


def test_one_that_cannot_be_reached_does_not_count_as_making_way(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(hub, "x")
    begun(hub, "p")
    notify = _Hosts.notify

    async def breaks(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        if host == dedicated_host("x"):
            raise Unreachable("no answer")
        return await notify(hosts, host, instance_ids)

    monkeypatch.setattr(_Hosts, "notify", breaks)

    async def doubted() -> None:
        present = hub.hub.registry.admission.actors
        process = present.get("x")
        assert process is not None
        present.suspect("x", process)

    on(hub, doubted())
    assert hub.client.start_new(collect, 0, instance_id="c").wait_for_completion(timeout=10) == []


def test_mail_for_one_that_is_asked_for_by_name_is_not_lost_when_that_fails(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = asleep(hub, "i")
    at, go = first_mark_fails(hub, monkeypatch)
    asked = hub.on_loop(hub.hub.registry.ensure(dedicated_host("i")))
    assert at.wait(10)
    handle.raise_event("e", 1)
    go.set()
    with pytest.raises(StoreError):
        asked.result(10)
    assert handle.wait_for_completion(timeout=10) == [1]


def test_a_sweep_finds_lost_words_beside_one_that_says_nothing(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(hub, "a", 2)
    handle = begun(hub, "b")
    notify = _Hosts.notify

    async def silent(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        if host == dedicated_host("a"):
            await asyncio.Event().wait()
        return await notify(hosts, host, instance_ids)

    monkeypatch.setattr(_Hosts, "notify", silent)
    for name in ("a", "b"):
        put(hub, name)
    on(hub, hub.hub.registry.notifier.sweep())
    assert handle.wait_for_completion(timeout=4) == [1]


def test_an_actor_of_somebody_else_s_in_the_namespace_takes_no_place(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = _Hosts.alive

    async def and_others(hosts: _Hosts) -> list[str]:
        return [*await alive(hosts), "their own", "another"]

    monkeypatch.setattr(_Hosts, "alive", and_others)
    on(hub, hub.hub.registry.admission.sweep())
    handles = [begun(hub, "a"), begun(hub, "b")]
    assert len(hub.hub.registry.admission.actors) == 2
    for handle in handles:
        handle.raise_event("e", 1)
        assert handle.wait_for_completion(timeout=10) == [1]
