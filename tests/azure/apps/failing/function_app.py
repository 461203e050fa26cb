"""Failures: retries, compensation, texts that are taken apart."""

from __future__ import annotations

import json
import re

import azure.durable_functions as df

app = df.DFApp()
_attempts: dict[str, int] = {}

TEXT = re.compile(r"Activity function '(?P<name>.+?)' failed:\s*(?P<type>.+?):\s*(?P<message>.+?)\s*\n")


@app.orchestration_trigger(context_name="context")
def retry_until_it_works(context):
    options = df.RetryOptions(first_retry_interval_in_milliseconds=5000, max_number_of_attempts=4)
    return (yield context.call_activity_with_retry("flaky", options, context.instance_id))


@app.orchestration_trigger(context_name="context")
def retry_in_vain(context):
    try:
        yield context.call_activity_with_retry(name="broken", retry_options=df.RetryOptions(1000, 2), input_="x")
    except Exception as error:
        return error.args[0].split(" \n ")[0]


@app.orchestration_trigger(context_name="context")
def take_a_failure_apart(context):
    try:
        yield context.call_activity("broken", "pay")
    except Exception as error:
        found = TEXT.search("".join(error.args))
        details = json.loads(error.args[0].split("\n")[1])
        return [found["name"], found["type"], found["message"], details["Message"].split(":", 1)[1].lstrip()]


@app.orchestration_trigger(context_name="context")
def compensate(context):
    done = []
    try:
        done.append((yield context.call_activity("reserve", "hotel")))
        done.append((yield context.call_activity("reserve", "flight")))
        done.append((yield context.call_activity("broken", "car")))
    except Exception:
        undone = []
        for one in reversed(done):
            undone.append((yield context.call_activity("cancel", one)))
        return undone


@app.orchestration_trigger(context_name="context")
def one_of_many_fails(context):
    try:
        yield context.task_all([context.call_activity("reserve", "a"), context.call_activity("broken", "b")])
    except Exception as error:
        return str(error).startswith("Activity function 'broken' failed:  ValueError: b")


@app.orchestration_trigger(context_name="context")
def a_failed_task_tells(context):
    task = context.call_activity("broken", "c")
    winner = yield context.task_any([task])
    return ["Activity function 'broken' failed" in str(winner.result), str(winner.state)]


@app.orchestration_trigger(context_name="context")
def retry_a_child(context):
    options = df.RetryOptions(1000, 2)
    try:
        yield context.call_sub_orchestrator_with_retry("let_it_fail", options, "child")
    except Exception as error:
        return str(error)


@app.orchestration_trigger(context_name="context")
def let_it_fail(context):
    yield context.call_activity("broken", context.get_input())


@app.orchestration_trigger(context_name="context")
def refuse_its_input(context):
    raise ValueError("an amount is required")
    yield


@app.activity_trigger(input_name="key")
def flaky(key):
    _attempts[key] = _attempts.get(key, 0) + 1
    if _attempts[key] < 3:
        raise RuntimeError("not yet")
    return _attempts[key]


@app.activity_trigger(input_name="what")
def broken(what):
    raise ValueError(what)


@app.activity_trigger(input_name="what")
def reserve(what):
    return f"{what} reserved"


@app.activity_trigger(input_name="what")
def cancel(what):
    return f"{what}, cancelled"
