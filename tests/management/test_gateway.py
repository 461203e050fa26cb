"""S22, S28 to S33: what an HTTP endpoint of one's own answers, and the URLs by which an instance is managed."""

from __future__ import annotations

import time
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.wire.management_urls import GatewayAddress
from durable_ray.client.operations.gateway import HttpAnswer
from durable_ray.testing import TestHub
from tests.management.shapes import BROKEN, echo, fan_out, waiter

BASE = "http://127.0.0.1:7071/runtime/webhooks/durabletask/instances"
COMMON = "taskHub=testing&connection=Storage&code=k%26y"


@pytest.fixture
def gateway(hub: TestHub) -> None:
    """The hub's gateway has said where it listens."""
    address = GatewayAddress("http://127.0.0.1:7071", "k&y", hub.client.hub)
    hub.on_loop(hub.hub.registry.set_gateway(address)).result(10)


def test_s31_s32_the_management_payload(client: dr.Client, gateway: None) -> None:
    assert client.create_http_management_payload("a b") == {
        "id": "a b",
        "statusQueryGetUri": f"{BASE}/a%20b?{COMMON}",
        "sendEventPostUri": f"{BASE}/a%20b/raiseEvent/{{eventName}}?{COMMON}",
        "terminatePostUri": f"{BASE}/a%20b/terminate?reason={{text}}&{COMMON}",
        "rewindPostUri": f"{BASE}/a%20b/rewind?reason={{text}}&{COMMON}",
        "purgeHistoryDeleteUri": f"{BASE}/a%20b?{COMMON}",
        "restartPostUri": f"{BASE}/a%20b/restart?{COMMON}",
        "suspendPostUri": f"{BASE}/a%20b/suspend?reason={{text}}&{COMMON}",
        "resumePostUri": f"{BASE}/a%20b/resume?reason={{text}}&{COMMON}",
    }


def test_s31_without_a_gateway_there_are_no_urls(client: dr.Client) -> None:
    with pytest.raises(dr.InvalidState, match="no HTTP gateway"):
        client.create_http_management_payload("x")


def test_s33_an_activity_can_have_them_too(client: dr.Client, gateway: None) -> None:
    @dr.activity(name="hand_over")
    def hand_over(context: dr.ActivityContext, where: str) -> dict[str, str]:
        return dr.management_payload(context)

    @dr.orchestrator(name="hands_over")
    async def hands_over(ctx: dr.OrchestrationContext) -> dict[str, str]:
        return dict(await ctx.call_activity(hand_over, "document db"))

    handle = client.start_new(hands_over)
    payload = handle.wait_for_completion(20)
    assert payload == client.create_http_management_payload(handle.instance_id)


def test_s22_a_check_status_answer(client: dr.Client, gateway: None) -> None:
    answer = client.create_check_status_response("x")
    assert answer.status_code == 202
    assert answer.headers == {"Location": f"{BASE}/x?{COMMON}", "Retry-After": "10"}
    assert answer.body == client.create_http_management_payload("x")
    assert answer.body["rewindPostUri"] == f"{BASE}/x/rewind?reason={{text}}&{COMMON}"


def test_s28_s30_finished_in_time(client: dr.Client) -> None:
    handle = client.start_new(echo, ["Hello Tokyo!"])
    assert client.wait_for_completion_or_create_check_status(handle.instance_id) == HttpAnswer(200, ["Hello Tokyo!"])


def test_s28_s30_not_finished_in_time(hub: TestHub, client: dr.Client, gateway: None) -> None:
    handle = client.start_new(waiter)
    began = time.monotonic()
    answer = client.wait_for_completion_or_create_check_status(handle.instance_id, timeout=0.3, retry_interval=0.1)
    assert 0.25 < time.monotonic() - began < 20
    assert (answer.status_code, answer.body["id"]) == (202, handle.instance_id)


def test_s29_fractions_and_the_rule_of_the_interval(client: dr.Client) -> None:
    with pytest.raises(ValueError, match="bigger than retry"):
        client.wait_for_completion_or_create_check_status("x", timeout=0.5, retry_interval=0.75)
    with pytest.raises(dr.InstanceNotFound):
        client.wait_for_completion_or_create_check_status("x", timeout=0.5, retry_interval=0.25)


@pytest.mark.parametrize(("flag", "code"), [(False, 200), (True, 500)])
def test_s30_a_failure_in_time_is_its_status(
    client: dr.Client, monkeypatch: pytest.MonkeyPatch, flag: bool, code: int
) -> None:
    monkeypatch.setenv(BROKEN, "1")
    handle = client.start_new(fan_out, [1])
    answer = client.wait_for_completion_or_create_check_status(
        handle.instance_id, return_internal_server_error_on_failure=flag
    )
    body: Any = answer.body
    assert (answer.status_code, body["runtimeStatus"], body["instanceId"]) == (code, "Failed", handle.instance_id)
    assert (body["createdTime"], body["input"]) == ("2030-01-01T00:00:00Z", [1])


def test_s30_a_termination_in_time_is_its_status(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(waiter)
    hub.settle()
    handle.terminate("why")
    answer = client.wait_for_completion_or_create_check_status(handle.instance_id)
    assert (answer.status_code, answer.body["runtimeStatus"], answer.body["output"]) == (200, "Terminated", "why")


def test_waiting_for_many_and_no_polling(hub: TestHub, client: dr.Client) -> None:
    handles = [client.start_new(waiter, placement="shared" if n % 2 else "dedicated") for n in range(6)]
    with pytest.raises(TimeoutError, match="6 of 6"):
        client.wait_many(handles, timeout=0.2)
    for n, handle in enumerate(handles):
        handle.raise_event("go", n)
    assert client.wait_many([h.instance_id for h in handles], 20) == list(range(6))
