"""S1 to S11: one instance for an ID whoever races, what replaces what, and all the ways to say "start"."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.client.operations.start_objects import StartObject, StartObjectInvalid
from durable_ray.testing import TestHub
from tests.management.shapes import collector, echo, steps, waiter

PLACEMENTS = ["dedicated", "shared"]


def status_of(client: dr.Client, instance_id: str) -> str:
    status = client.get_status(instance_id)
    return "absent" if status is None else str(status.runtime_status)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s1_s4_an_id_has_one_running_instance(client: dr.Client, placement: Any) -> None:
    client.start_new(waiter, instance_id="one", placement=placement)
    with pytest.raises(dr.InstanceAlreadyExists, match=r"^An instance with ID 'one' already exists\.") as caught:
        client.start_new(waiter, instance_id="one", placement=placement)
    assert str(caught.value) == "An instance with ID 'one' already exists."
    (note,) = caught.value.__notes__
    assert "if_exists='use_existing'" in note
    assert "Running. Wait for it" in note or "Pending. Wait for it" in note


@pytest.mark.parametrize("end", ["Completed", "Failed", "Terminated"])
def test_s3_a_finished_instance_is_replaced(
    client: dr.Client, monkeypatch: pytest.MonkeyPatch, hub: TestHub, end: str
) -> None:
    monkeypatch.setenv("DURABLE_RAY_TEST_BROKEN", "1")
    handle = client.start_new(steps if end == "Failed" else waiter, [1] if end == "Failed" else None, instance_id="x")
    hub.settle()
    if end == "Completed":
        handle.raise_event("go")
    elif end == "Terminated":
        handle.terminate()
    hub.settle()
    assert status_of(client, "x") == end
    assert client.start_new(echo, "new", instance_id="x").wait_for_completion(20) == "new"


@pytest.mark.parametrize("state", ["Pending", "Running", "Suspended"])
def test_s3_everything_else_refuses(client: dr.Client, hub: TestHub, state: str) -> None:
    start_at = timedelta(hours=1) if state == "Pending" else None
    client.start_new(waiter, instance_id="x", start_at=start_at)
    hub.settle()
    if state == "Suspended":
        client.suspend("x")
    assert status_of(client, "x") == state
    with pytest.raises(dr.InstanceAlreadyExists):
        client.start_new(waiter, instance_id="x")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s5_of_racing_starters_one_wins(hub: TestHub, placement: Any) -> None:
    async def race() -> list[Any]:
        starts = [
            hub.async_client.start_new(echo, n, instance_id="race", placement=placement, if_exists="reject_finished")
            for n in range(20)
        ]
        return await asyncio.gather(*starts, return_exceptions=True)

    outcomes = asyncio.run(race())
    winners = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]
    assert len(winners) == 1
    assert all(isinstance(o, dr.InstanceAlreadyExists) for n, o in enumerate(outcomes) if n not in winners)
    assert hub.client.wait_for_completion("race", 20) == winners[0]


def test_s4_if_exists_policies(client: dr.Client, hub: TestHub) -> None:
    client.start_new(waiter, instance_id="x")
    hub.settle()
    assert client.start_new(waiter, instance_id="x", if_exists="use_existing").instance_id == "x"
    client.raise_event("x", "go", 1)
    assert client.wait_for_completion("x", 20) == 1
    with pytest.raises(dr.InstanceAlreadyExists):
        client.start_new(waiter, instance_id="x", if_exists="reject_finished")
    client.start_new(waiter, instance_id="x")
    hub.settle()
    replaced = client.start_new(echo, "second", instance_id="x", if_exists="terminate_existing")
    assert replaced.wait_for_completion(20) == "second"


def test_s6_s7_a_random_id_is_32_hex_digits_and_shared(client: dr.Client) -> None:
    handle = client.start_new(echo, 1)
    assert re.fullmatch("[0-9a-f]{32}", handle.instance_id)
    status = handle.get_status()
    assert status is not None
    assert status.placement == "shared"


def test_s8_by_registered_name(client: dr.Client) -> None:
    client.register(echo)
    assert client.start_new("echo", {"a": 1}).wait_for_completion(20) == {"a": 1}


def test_s8_an_unknown_name_is_a_typed_error_and_nothing_is_written(client: dr.Client) -> None:
    with pytest.raises(dr.UnknownDefinition, match="nobody_deployed_this"):
        client.start_new("nobody_deployed_this", instance_id="x")
    assert client.get_status("x") is None


@pytest.mark.parametrize("bad", ["", "a/b", "a\\b", "a#b", "a?b", "@entity", "x" * 257, "a\nb"])
def test_s8_ids_are_validated_at_the_door(client: dr.Client, bad: str) -> None:
    with pytest.raises(dr.InvalidInstanceId):
        client.start_new(echo, instance_id=bad)
    assert client.count() == 0


def test_s9_start_returns_when_it_is_durable_and_waiting_for_the_start_times_out(client: dr.Client) -> None:
    handle = client.start_new(echo, start_at=timedelta(hours=1), instance_id="later")
    assert status_of(client, "later") == "Pending"
    with pytest.raises(TimeoutError):
        handle.wait_for_start(timeout=0.05)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_start_at_and_delay(client: dr.Client, hub: TestHub, placement: Any) -> None:
    at = datetime(2030, 1, 1, 2, tzinfo=UTC)
    client.start_new(echo, 1, instance_id="at", start_at=at, placement=placement)
    client.start_new(echo, 2, instance_id="in", start_at=timedelta(hours=3), placement=placement)
    hub.advance(timedelta(hours=2, minutes=1))
    assert (status_of(client, "at"), status_of(client, "in")) == ("Completed", "Pending")
    hub.advance(timedelta(hours=1))
    assert status_of(client, "in") == "Completed"
    status = client.get_status("at")
    assert status is not None
    assert status.scheduled_start == at == status.started_time


def test_s10_start_objects(client: dr.Client) -> None:
    handles = client.start_from(
        [
            {"FunctionName": "echo", "Input": {"a": [1]}, "InstanceId": "first"},
            {"FunctionName": "echo", "Input": 2},
            StartObject(FunctionName="echo"),
        ]
    )
    assert client.wait_many(handles, 20) == [{"a": [1]}, 2, None]
    assert handles[0].instance_id == "first"
    (one,) = client.start_from(json.dumps({"FunctionName": "echo", "Input": "text"}))
    assert one.wait_for_completion(20) == "text"
    assert client.start_from("") == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"FunctionName": "echo", "Extra": 1}, "Extra"),
        ({"Input": 1}, "FunctionName"),
        ("{not json", "JSON"),
        ([{"FunctionName": "echo", "InstanceId": "fine"}, {"FunctionName": 5}], "FunctionName"),
        (7, "object"),
    ],
)
def test_s10_what_is_no_start_object_starts_nothing(client: dr.Client, said: Any, why: str) -> None:
    with pytest.raises(StartObjectInvalid, match=why):
        client.start_from(said)
    assert client.count() == 0


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_signal_with_start_starts_or_delivers(client: dr.Client, hub: TestHub, placement: Any) -> None:
    for n in range(3):
        handle = client.signal_with_start(collector, "item", n, instance_id="cart", input=4, placement=placement)
        if n == 1:
            hub.settle()
    handle.raise_event("item", 3)
    assert client.wait_for_completion("cart", 20) == [0, 1, 2, 3]
    # A finished one is started anew.
    client.signal_with_start(collector, "ITEM", "again", instance_id="cart", input=1, placement=placement)
    assert client.wait_for_completion("cart", 20) == ["again"]


def test_signal_with_start_racing_loses_no_event(hub: TestHub) -> None:
    async def race() -> None:
        await asyncio.gather(
            *(hub.async_client.signal_with_start(collector, "item", n, instance_id="cart", input=20) for n in range(20))
        )

    asyncio.run(race())
    assert sorted(hub.client.wait_for_completion("cart", 20)) == list(range(20))


def test_tags_are_texts(client: dr.Client) -> None:
    handle = client.start_new(echo, tags={"customer": "7"})
    status = handle.get_status()
    assert status is not None
    assert status.tags == {"customer": "7"}
    with pytest.raises(TypeError, match="tags are texts"):
        client.start_new(echo, tags={"customer": 7})  # type: ignore[dict-item]


def test_start_many_is_one_call(client: dr.Client) -> None:
    handles = client.start_many(echo, range(50))
    assert client.wait_many(handles, 20) == list(range(50))
    with pytest.raises(ValueError, match="2 inputs need"):
        client.start_many(echo, [1, 2], instance_ids=["a"])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_restart_with_a_new_and_with_the_same_id(client: dr.Client, placement: Any) -> None:
    handle = client.start_new(echo, {"n": 1}, instance_id="orig", tags={"k": "v"}, placement=placement)
    handle.wait_for_completion(20)
    new = handle.restart()
    assert new.instance_id != "orig"
    assert new.wait_for_completion(20) == {"n": 1}
    status = new.get_status()
    assert status is not None
    assert (status.tags, status.placement) == ({"k": "v"}, placement)
    before = client.get_status("orig")
    same = client.restart("orig", restart_with_new_instance_id=False)
    assert same.wait_for_completion(20) == {"n": 1}
    after = client.get_status("orig")
    assert before is not None
    assert after is not None
    assert before.execution_id != after.execution_id


def test_restart_of_a_running_or_absent_instance(client: dr.Client, hub: TestHub) -> None:
    client.start_new(waiter, instance_id="busy")
    hub.settle()
    with pytest.raises(dr.InvalidState, match="has not finished"):
        client.restart("busy", restart_with_new_instance_id=False)
    copy = client.restart("busy")
    copy.raise_event("go", 1)
    assert copy.wait_for_completion(20) == 1
    with pytest.raises(dr.InstanceNotFound):
        client.restart("nobody")


def test_a_restart_takes_the_newest_code(client: dr.Client) -> None:
    @dr.orchestrator(name="renewed")
    async def old(ctx: dr.OrchestrationContext) -> str:
        return "old"

    handle = client.start_new(old)
    assert handle.wait_for_completion(20) == "old"

    @dr.orchestrator(name="renewed", version="2")
    async def new(ctx: dr.OrchestrationContext) -> str:
        return "new"

    assert handle.restart().wait_for_completion(20) == "new"
