"""A host that cannot be opened: tried a few times, then given up; whoever waits for it says why, until it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.cluster.in_process import _Hosts
from durable_ray.actors.registry import admission, notifier, unopened
from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.registry.unopened import CannotOpen, opened
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Fenced, StoreError
from durable_ray.testing import TestHub


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unopened, "_FIRST_PAUSE", 0.001)


def failing(times: int, error: Exception) -> tuple[Callable[[], Any], list[int]]:
    tries: list[int] = []

    async def open_it() -> str:
        tries.append(len(tries))
        if len(tries) <= times:
            raise error
        return "open"

    return open_it, tries


async def test_a_host_that_opens_at_the_last_try_is_open() -> None:
    open_it, tries = failing(unopened._TRIES - 1, StoreError("the database is busy"))
    assert await opened(open_it, "partition-0") == "open"
    assert len(tries) == unopened._TRIES


async def test_one_that_does_not_is_given_up_with_the_reason() -> None:
    open_it, tries = failing(100, StoreError("the disk\nis full"))
    with pytest.raises(CannotOpen, match=r"^partition-0 cannot be opened: StoreError: the disk is full$"):
        await opened(open_it, "partition-0")
    assert len(tries) == unopened._TRIES


async def test_one_that_has_a_successor_is_not_tried_again() -> None:
    open_it, tries = failing(100, Fenced("epoch 2"))
    with pytest.raises(Fenced):
        await opened(open_it, "partition-0")
    assert len(tries) == 1


def test_a_client_takes_it_for_a_host_that_does_not_answer_for_now() -> None:
    assert issubclass(CannotOpen, Unreachable)


@dr.orchestrator(name="unopened.echo")
async def echo(ctx: dr.OrchestrationContext, value: int) -> int:
    return value + int(await ctx.wait_for_external_event("Go"))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Names of hosts that cannot be opened."""
    names: set[str] = set()
    create, ensure = _Hosts.create, _Hosts.ensure_partition

    async def creates(hosts: _Hosts, row: Any, *rest: Any) -> None:
        if row.host in names:
            raise CannotOpen(f"{row.host} cannot be opened: OSError: no space left")
        await create(hosts, row, *rest)

    async def ensures(hosts: _Hosts, host: str, *rest: Any) -> None:
        if host in names:
            raise CannotOpen(f"{host} cannot be opened: OSError: no space left")
        await ensure(hosts, host, *rest)

    monkeypatch.setattr(_Hosts, "create", creates)
    monkeypatch.setattr(_Hosts, "ensure_partition", ensures)
    monkeypatch.setattr(admission, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(admission, "_LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(notifier, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(notifier, "_LONGEST_PAUSE", 0.1)
    yield names
    names.clear()


def eventually(hub: TestHub, condition: Callable[[], Any]) -> None:
    import time

    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def reason(hub: TestHub, name: str) -> str:
    return hub.store.rows([name])[name].waiting_reason or ""


REASON = "{0} cannot be opened: OSError: no space left"


def test_a_dedicated_one_says_why_and_others_take_its_place(broken: set[str]) -> None:
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=600, max_dedicated=1)) as hub:
        broken.add("instance:broken")
        handle = hub.client.start_new(echo, 1, instance_id="broken")
        other = hub.client.start_new(echo, 2, instance_id="other")
        other.raise_event("Go", 2)
        assert other.wait_for_completion(20) == 4, "it was admitted"
        eventually(hub, lambda: reason(hub, "broken") == f"host: {REASON.format('instance:broken')}")
        assert handle.get_status().waiting_reason == reason(hub, "broken")
        broken.clear()
        eventually(hub, lambda: not reason(hub, "broken"))
        handle.raise_event("Go", 1)
        assert handle.wait_for_completion(20) == 2


def test_a_partition_says_why_and_comes_back_by_itself(broken: set[str]) -> None:
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=0.05)) as hub:
        handle = hub.client.start_new(echo, 1, instance_id="s", placement="shared")
        handle.wait_for_start(10)
        broken.add("partition-0")
        hub.on_loop(hub.hub.drop("partition-0")).result(10)
        other = hub.client.start_new(echo, 2, instance_id="other")
        other.raise_event("Go", 2)
        assert other.wait_for_completion(20) == 4
        hub.client.start_new(tells, "s", instance_id="tells").wait_for_completion(20)
        eventually(hub, lambda: reason(hub, "s") == f"host: {REASON.format('partition-0')}")
        broken.clear()
        assert handle.wait_for_completion(20) == 8
        assert not reason(hub, "s")


@dr.orchestrator(name="unopened.tells")
async def tells(ctx: dr.OrchestrationContext, instance_id: str) -> None:
    ctx.send_event(instance_id, "Go", 7)
