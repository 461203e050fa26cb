"""Azure's own application object with blueprints; triggers, bindings and names in any order; entities beside the rest."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions import DurableOrchestrationClient, DurableOrchestrationContext
from azure.durable_functions.models import RetryOptions
from azure.durable_functions.models.DurableOrchestrationContext import DurableOrchestrationContext as SameContext
from azure.durable_functions.models.Task import TaskBase
from azure.durable_functions.models.utils.entity_utils import EntityId
from tallies import tally

bp = df.Blueprint()
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@bp.function_name(name="NamedAbove")
@bp.orchestration_trigger(context_name="context")
def orchestrator(context: DurableOrchestrationContext):
    return (yield context.call_activity("TallyAbove", context.get_input()))


@bp.orchestration_trigger(context_name="context")
@bp.function_name("NamedBelow")
def orchestrator(context: SameContext):  # noqa: F811
    task: TaskBase = context.call_activity_with_retry("TallyBelow", RetryOptions(1, 1), context.get_input())
    return (yield task)


@bp.function_name("TallyAbove")
@bp.activity_trigger(input_name="items")
def activity(items: list) -> int:
    return tally(items)


@bp.activity_trigger(input_name="items")
@bp.function_name(name="TallyBelow")
def activity(items: list) -> int:  # noqa: F811
    return tally(items) * 10


@bp.queue_trigger(arg_name="message", queue_name="orders", connection="AzureWebJobsStorage")
@bp.durable_client_input(client_name="client")
async def from_a_queue(message: func.QueueMessage, client: DurableOrchestrationClient):
    return await client.start_new("NamedAbove", client_input=[message.get_body().decode()])


@bp.durable_client_input(client_name="client")
@bp.blob_trigger(arg_name="blob", path="incoming/{name}", connection="AzureWebJobsStorage")
async def from_a_blob(blob: func.InputStream, client):
    return await client.start_new("NamedBelow", None, [blob.name])


@bp.event_grid_trigger(arg_name="event")
@bp.durable_client_input(client_name="client")
async def from_event_grid(event: func.EventGridEvent, client):
    await client.raise_event(event.subject, "arrived", event.get_json(), task_hub_name="Hub", connection_name="Storage")


@bp.route(route="plain", auth_level=func.AuthLevel.ANONYMOUS)
@bp.queue_output(arg_name="out", queue_name="done", connection="AzureWebJobsStorage")
def plain(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    out.set("seen")
    return func.HttpResponse("ok")


@bp.entity_trigger(context_name="context", entity_name="Counter")
def counter(context: df.DurableEntityContext):
    context.set_state(context.get_state(lambda: 0) + context.get_input())


@bp.orchestration_trigger(context_name="context")
def ask_an_entity(context):
    return (yield context.call_entity(EntityId("Counter", "mine"), "add", 3))


@bp.activity_trigger(input_name="order")
@bp.blob_output(arg_name="target", path="orders/{rand-guid}", connection="AzureWebJobsStorage")
def write_order(order: str, target: func.Out[str]) -> str:
    target.set(order)
    return "written"


@bp.orchestration_trigger(context_name="context")
def write_an_order(context):
    return (yield context.call_activity("write_order", "one"))


# Azure's application object makes its durable decorators from the durable package's blueprint.
@app.orchestration_trigger(context_name="context")
def on_the_function_app(context):
    return (yield context.call_activity("TallyAbove", [1, 2, 3]))


@app.route(route="on-the-app")
@app.durable_client_input(client_name="client")
async def start_on_the_function_app(req: func.HttpRequest, client) -> str:
    return await client.start_new("on_the_function_app")


app.register_functions(bp)
