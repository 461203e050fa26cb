"""`grep` of an instance's ID in the log at DEBUG shows its way from the start to the end, and nothing of its neighbours."""

from __future__ import annotations

import logging

import pytest

import durable_ray as dr
from durable_ray.actors.host.passivation import passivate
from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.testing import TestHub


@dr.activity(name="follow.double")
def double(value: int) -> int:
    return 2 * value


@dr.orchestrator(name="follow.order")
async def order(ctx: dr.OrchestrationContext, value: int) -> int:
    doubled = await ctx.call_activity(double, value)
    await ctx.wait_for_external_event("paid")
    return doubled


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="durable_ray.instances")
    return caplog


def steps_of(lines: pytest.LogCaptureFixture, instance_id: str) -> list[str]:
    """What `grep` finds: the debug lines with this ID, without the ID."""
    found = [record.getMessage() for record in lines.records if record.levelno == logging.DEBUG]
    return [line.replace(f" instance={instance_id}", "") for line in found if f"instance={instance_id} " in line + " "]


def in_order(lines: list[str], *beginnings: str) -> None:
    """Each of these begins a line, in this order; others may stand between them."""
    left = iter(lines)
    for beginning in beginnings:
        assert any(line.startswith(beginning) for line in left), (beginning, lines)


def test_one_instance_is_followed_from_its_start_to_its_end(
    hub: TestHub, client: dr.Client, lines: pytest.LogCaptureFixture
) -> None:
    client.start_new(order, 1, instance_id="beside")
    handle = client.start_new(order, 21, instance_id="followed")
    hub.settle()
    handle.raise_event("paid", idempotency_key="k")
    assert handle.wait_for_completion(20) == 42
    hub.settle()
    steps = steps_of(lines, "followed")
    execution = f"execution={handle.get_status().execution_id}"
    in_order(
        steps,
        f"start accepted: {execution} host=instance:followed",
        f"turn taken: {execution} turn=0 events=",
        f"committed: {execution} turn=0",
        f"result received: {execution} task=1 attempt=1 result=ActivityCompleted",
        f"turn taken: {execution} turn=1",
        f"committed: {execution} turn=1",
        "notified: turn=2",  # the event went through the store, for it has a key
        f"turn taken: {execution} turn=2",
        f"committed: {execution} turn=2",
    )
    assert steps[-1].endswith("status=Completed")
    assert not [step for step in steps if "beside" in step]


def test_so_is_one_that_is_passivated_and_loaded_again(
    hub: TestHub, client: dr.Client, lines: pytest.LogCaptureFixture
) -> None:
    handle = client.start_new(order, 21, instance_id="followed")
    hub.settle()
    host = hub.hub.hosts[dedicated_host("followed")]
    assert hub.on_loop(passivate(host, "followed")).result(10)
    hub.on_loop(hub.hub.drop(host.name)).result(10)
    hub.on_loop(hub.hub.registry.admission.passivating("followed")).result(10)
    handle.raise_event("paid")
    assert handle.wait_for_completion(20) == 42
    in_order(steps_of(lines, "followed"), "passivated: ", "loaded: ", "turn taken: ", "committed: ")


def test_an_eviction_is_logged(lines: pytest.LogCaptureFixture) -> None:
    with TestHub(auto_advance=False, settings=dr.HubSettings(partitions=1, max_in_memory=2)) as hub:
        first = hub.client.start_new(order, 0, placement="shared")
        hub.settle()
        for number in range(1, 4):
            hub.client.start_new(order, number, placement="shared")
            hub.settle()
        in_order(steps_of(lines, first.instance_id), "start accepted: ", "committed: ", "evicted: ")
        first.raise_event("paid")
        assert first.wait_for_completion(20) == 0
        in_order(steps_of(lines, first.instance_id), "evicted: ", "loaded: ", "committed: ")


def test_the_instances_of_a_fenced_host_are_logged(
    hub: TestHub, client: dr.Client, lines: pytest.LogCaptureFixture
) -> None:
    handle = client.start_new(order, 1, instance_id="followed", placement="shared")
    hub.settle()
    (host,) = [host for host in hub.hub.hosts.values() if host.instance_cache.peek("followed")]
    hub.hub.store.acquire_lease(host.name)
    handle.raise_event("paid")
    assert handle.wait_for_completion(20) == 2
    in_order(steps_of(lines, "followed"), "committed: ", "fenced: ", "loaded: ", "committed: ")
