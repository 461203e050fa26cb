"""Function chaining: an HTTP starter, orchestrators, an activity; activities by name, by function and by keyword."""

from __future__ import annotations

import logging

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orchestrators/{functionName}")
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client):
    instance_id = await client.start_new(req.route_params["functionName"], client_input=req.get_json())
    logging.info("Started orchestration with ID = '%s'.", instance_id)
    return client.create_check_status_response(req, instance_id)


# The same with the two decorators the other way round.
@app.durable_client_input(client_name="client")
@app.route(route="wait/{functionName}", methods=["POST"])
async def http_start_and_wait(req: func.HttpRequest, client) -> func.HttpResponse:
    instance_id = await client.start_new(req.route_params["functionName"])
    return await client.wait_for_completion_or_create_check_status_response(req, instance_id, 5000, 500)


@app.orchestration_trigger(context_name="context")
def greet_by_name(context: df.DurableOrchestrationContext):
    first = yield context.call_activity("greet", "Lisbon")
    second = yield context.call_activity("greet", "Oslo")
    return [first, second]


@app.orchestration_trigger(context_name="context")
def greet_by_function(context: df.DurableOrchestrationContext):
    greetings = []
    for city in context.get_input():
        greetings.append((yield context.call_activity(greet, city)))
    return greetings


@app.orchestration_trigger(context_name="context")
def greet_by_keyword(context: df.DurableOrchestrationContext):
    said = yield context.call_activity(name="greet", input_="Quito", expected_type=str)
    shape = yield context.call_activity(name="measure", input_={"text": said})
    return [said, shape]


@app.orchestration_trigger(context_name="context", orchestration="GreetUnderAnotherName")
def greet_renamed(context):
    return (yield context.call_activity("Greeter", context.get_input()))


@app.activity_trigger(input_name="city")
def greet(city: str) -> str:
    return f"Hello {city}!"


@app.activity_trigger(input_name="what", activity="Greeter")
async def greet_politely(what: str):
    return f"Good day, {what}."


# The annotation is wrong, as often: the worker hands over whatever was sent.
@app.activity_trigger(input_name="payload")
def measure(payload: str, context: func.Context) -> str:
    return {"length": len(payload["text"]), "function": context.function_name}
