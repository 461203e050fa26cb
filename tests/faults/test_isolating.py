"""An instance whose turn took too long goes on in a host of its own, whatever it was about to do; its neighbours stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.cluster import in_process
from durable_ray.actors.host.crash_marker import NoMarker
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.sql.checks import check
from durable_ray.testing import TestHub


class TimedOut(NoMarker):
    """A marker that says once that the watchdog ended the process in the code of `whose`."""

    whose: list[str] = []  # noqa: RUF012

    def timed_out(self) -> bool:
        return bool(self.whose)

    def take(self) -> str | None:
        return self.whose.pop() if self.whose else None


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestHub]:
    monkeypatch.setattr(in_process, "NoMarker", TimedOut)
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=0.05)) as hub:
        yield hub
        hub.on_loop(hub.settled()).result(10)
        assert check(hub.hub.store) == []
    TimedOut.whose.clear()


@dr.activity(name="isolating.echo")
def echo(value: object) -> object:
    return value


@dr.orchestrator
async def isolating(ctx: dr.OrchestrationContext) -> list[Any]:
    first = await ctx.wait_for_external_event("Go")
    return [first, await ctx.call_activity(echo, "echo"), await ctx.wait_for_external_event("Go")]


@dr.orchestrator
async def isolating_parent(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.call_sub_orchestrator(isolating)


def test_it_goes_on_in_a_host_of_its_own_with_what_was_sent_to_it(hub: TestHub) -> None:
    slow, neighbour = hub.client.start_new(isolating), hub.client.start_new(isolating)
    for handle in (slow, neighbour):
        handle.wait_for_start(10)
    TimedOut.whose.append(slow.instance_id)
    hub.crash()
    slow.raise_event("Go", 1)
    slow.raise_event("Go", 2)
    assert slow.wait_for_completion(20) == [1, "echo", 2]
    assert slow.get_status().placement == "dedicated"
    neighbour.raise_event("Go", 3)
    neighbour.raise_event("Go", 4)
    assert neighbour.wait_for_completion(20) == [3, "echo", 4]
    assert neighbour.get_status().placement == "shared"


def test_one_that_died_in_the_transaction_of_its_start_begins_in_a_host_of_its_own(hub: TestHub) -> None:
    TimedOut.whose.append("chosen")
    hub.client.start_new(isolating, instance_id="before", placement="shared").wait_for_start(10)
    assert not TimedOut.whose, "its partition came up and was told"
    handle = hub.client.start_new(isolating, instance_id="chosen", placement="shared")
    handle.raise_event("Go", 1)
    handle.raise_event("Go", 2)
    assert handle.wait_for_completion(20) == [1, "echo", 2]
    assert handle.get_status().placement == "dedicated"


def test_a_child_still_answers_its_parent(hub: TestHub) -> None:
    parent = hub.client.start_new(isolating_parent)
    parent.wait_for_start(10)
    hub.on_loop(hub.settled()).result(10)
    (child,) = [
        status.instance_id for status in hub.client.list_instances() if status.instance_id != parent.instance_id
    ]
    TimedOut.whose.append(child)
    hub.crash()
    hub.client.raise_event(child, "Go", 1)
    hub.client.raise_event(child, "Go", 2)
    assert parent.wait_for_completion(20) == [1, "echo", 2]
    status = hub.client.get_status(child)
    assert status is not None
    assert status.placement == "dedicated"


def test_one_that_is_terminated_ends(hub: TestHub) -> None:
    handle = hub.client.start_new(isolating)
    handle.wait_for_start(10)
    TimedOut.whose.append(handle.instance_id)
    hub.crash()
    handle.terminate("enough")
    with pytest.raises(dr.OrchestrationTerminated):
        handle.wait_for_completion(20)
