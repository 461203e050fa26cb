"""S37: code written for Azure's Python SDK runs with its import line changed; what cannot be had says so."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
import durable_ray.azure as df
from durable_ray.testing import TestHub
from tests.management.shapes import echo, fragile, waiter

# --- as in Azure's own samples --------------------------------------------------------------------

my_app = df.DFApp(http_auth_level="anonymous")


@my_app.activity_trigger(input_name="city")
def az_hello(city: str) -> str:
    return f"Hello {city}"


@my_app.orchestration_trigger(context_name="context")
def az_cities(context: df.DurableOrchestrationContext) -> Any:
    result1 = yield context.call_activity("az_hello", "Seattle")
    result2 = yield context.call_activity(az_hello, "Tokyo")
    return [result1, result2]


@my_app.orchestration_trigger(context_name="context", orchestration="az_monitor")
def monitor(context: df.DurableOrchestrationContext) -> Any:
    timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    approval = context.wait_for_external_event("Approval")
    winner = yield context.task_any([approval, timer])
    if winner == approval:
        timer.cancel()
        return approval.result
    return "late"


def orchestrator_function(context: df.DurableOrchestrationContext) -> Any:
    retry_options = df.RetryOptions(5000, 3)
    tasks = [context.call_activity_with_retry("fragile", retry_options, n) for n in range(2)]
    results = yield context.task_all(tasks)
    child = yield context.call_sub_orchestrator("az_cities")
    return [results, child, str(context.new_uuid())[14]]


main = df.Orchestrator.create(orchestrator_function)


@pytest.fixture
def azure(hub: TestHub) -> df.DurableOrchestrationClient:
    return df.DurableOrchestrationClient(hub.async_client)


def test_s37_function_chaining(client: dr.Client) -> None:
    assert client.start_new(az_cities).wait_for_completion(20) == ["Hello Seattle", "Hello Tokyo"]


def test_s37_human_interaction(hub: TestHub, client: dr.Client) -> None:
    client.start_new("az_monitor", instance_id="yes")
    client.start_new("az_monitor", instance_id="no")
    client.raise_event("yes", "Approval", True)
    hub.settle()
    hub.advance(timedelta(hours=2))
    assert (client.wait_for_completion("yes", 20), client.wait_for_completion("no", 20)) == (True, "late")


def test_s37_the_first_programming_model(client: dr.Client) -> None:
    assert main.name == "test_azure"
    assert fragile.name == "fragile"
    assert client.start_new("test_azure").wait_for_completion(20) == [[0, 1], ["Hello Seattle", "Hello Tokyo"], "5"]


def test_s37_the_client(azure: df.DurableOrchestrationClient, hub: TestHub) -> None:
    async def manage() -> None:
        instance_id = await azure.start_new("echo", None, {"a": 1})
        await hub.async_client.wait_for_completion(instance_id, 20)
        status = await azure.get_status(instance_id, show_history=True, show_history_output=True, show_input=True)
        assert status
        assert (status.input_, status.output) == ({"a": 1}, {"a": 1})
        assert status.runtime_status is df.OrchestrationRuntimeStatus.Completed
        assert status.history is not None
        assert status.history[-1]["Result"] == {"a": 1}
        assert status.to_json()["runtimeStatus"] == "Completed"
        assert not await azure.get_status("nobody")
        running = await azure.start_new(waiter.name, "w")
        await azure.suspend(running, "why")
        await azure.resume(running, "why")
        by_status = await azure.get_status_by(runtime_status=[df.OrchestrationRuntimeStatus.Completed])
        assert [status.instance_id for status in by_status] == [instance_id]
        await azure.terminate(running, "enough")
        await azure.terminate(instance_id, "too late, and no error")
        await azure.rewind(running, "after all")
        await azure.raise_event(running, "go", 7)
        assert await hub.async_client.wait_for_completion(running, 20) == 7
        again = await azure.restart(instance_id)
        answer = await azure.wait_for_completion_or_create_check_status_response(None, again)
        assert (answer.status_code, answer.body) == (200, {"a": 1})
        assert len(await azure.get_status_all()) == 3
        assert (await azure.purge_instance_history(again)).instances_deleted == 1
        assert (await azure.purge_instance_history_by()).instances_deleted == 2

    hub.client.register(echo, waiter)
    asyncio.run(manage())


def test_s37_a_client_function_gets_its_client(azure: df.DurableOrchestrationClient) -> None:
    @my_app.durable_client_input(client_name="client")
    async def start_it(req: str, client: df.DurableOrchestrationClient) -> str:
        return f"{req} {type(client).__name__}"

    assert asyncio.run(start_it("by", client=azure)) == "by DurableOrchestrationClient"
    with pytest.raises(ValueError, match="no parameter named 'starter'"):
        my_app.durable_client_input(client_name="starter")(start_it)


def test_s37_other_names_by_function_name(client: dr.Client) -> None:
    @my_app.function_name("az_renamed")
    @my_app.orchestration_trigger(context_name="context")
    def az_original(context: df.DurableOrchestrationContext) -> Any:
        return context.get_input()

    assert client.start_new("az_renamed", 5).wait_for_completion(20) == 5
    my_app.register_functions(df.Blueprint())


def test_s37_what_cannot_be_had_says_so() -> None:
    seventh = df.EntityId("Counter", "7")
    assert str(seventh) == "@counter@7"
    assert df.EntityId.get_entity_id("@counter@7") == seventh

    @my_app.entity_trigger(context_name="context")
    def counter(context: df.DurableEntityContext) -> None:
        context.set_state(1)

    # Declaring it is no mistake yet: the app has other functions.
    azure = df.DurableOrchestrationClient(object.__new__(dr.AsyncClient))
    for call in (
        lambda: counter(None),
        lambda: df.Entity.create(print)(None),
        lambda: asyncio.run(azure.signal_entity(seventh, "add", 1)),
        lambda: asyncio.run(azure.read_entity_state(seventh)),
        df.DurableEntityContext,
    ):
        with pytest.raises(NotImplementedError, match="signal_with_start"):
            call()  # type: ignore[no-untyped-call]
    assert df.ManagedIdentityTokenSource("https://management.core.windows.net").resource


@pytest.mark.parametrize(
    ("missing", "instead"),
    [
        ("call_http", "call an activity"),
        ("call_entity", "no entities"),
        ("signal_entity", "no entities"),
        ("histories", "get_history"),
        ("function_context", "instance_id"),
    ],
)
def test_s37_a_context_says_what_takes_the_place_of_what_it_has_not(missing: str, instead: str) -> None:
    context = object.__new__(df.DurableOrchestrationContext)
    assert not hasattr(context, missing)
    with pytest.raises(AttributeError, match=instead):
        getattr(context, missing)
