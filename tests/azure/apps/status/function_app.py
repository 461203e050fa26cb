"""What an orchestration says about itself, and values that only look random."""

from __future__ import annotations

import json
import logging

import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def report_progress(context):
    for done in (1, 2):
        yield context.call_activity("work", done)
        context.set_custom_status(f"{done} of 2")
        if not context.is_replaying:
            logging.info("%s has done %s", context.instance_id, done)
    return context.custom_status


@app.orchestration_trigger(context_name="context")
def make_an_id(context):
    order = {"id": context.new_uuid(), "again": str(context.new_guid()), "of": context.instance_id}
    stored = yield context.call_activity("work", json.dumps(order))
    return json.loads(stored)["id"] == order["id"] != order["again"]


@app.orchestration_trigger(context_name="context")
def know_the_parent(context):
    if context.parent_instance_id is not None:
        return context.parent_instance_id
    parent = yield context.call_sub_orchestrator("know_the_parent", instance_id="the-child")
    return parent == context.instance_id


@app.orchestration_trigger(context_name="context")
def choose_a_child(context):
    plan = json.loads(context.get_input())
    child = "report_progress" if plan["report"] else "make_an_id"
    return (yield context.call_sub_orchestrator(name=child, input_=None, version=None))


@app.orchestration_trigger(context_name="context")
def without_a_yield(context):
    return {"got": context.get_input()}


@app.activity_trigger(input_name="value")
def work(value):
    return value
