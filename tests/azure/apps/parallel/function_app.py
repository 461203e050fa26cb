"""Fan-out and fan-in: activities, sub-orchestrations, races, batches."""

from __future__ import annotations

from datetime import timedelta

import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def square_all(context):
    tasks = [context.call_activity("square_number", number) for number in context.get_input()]
    results = yield context.task_all(tasks)
    return sum(results)


@app.orchestration_trigger(context_name="context")
def square_all_by_keyword(context):
    results = yield context.task_all(
        activities=[context.call_activity(name="square_number", input_=n) for n in range(4)]
    )
    return results


@app.orchestration_trigger(context_name="context")
def square_in_batches(context):
    found, numbers = [], list(range(7))
    while numbers:
        batch, numbers = numbers[:3], numbers[3:]
        found += yield context.task_all([context.call_activity("square_number", number) for number in batch])
    return found


@app.orchestration_trigger(context_name="context")
def square_in_children(context):
    children = [
        context.call_sub_orchestrator("square_all", [number], f"{context.instance_id}-{number}") for number in (1, 2, 3)
    ]
    return (yield context.task_all(children))


@app.orchestration_trigger(context_name="context")
def first_of_two(context):
    slow = context.create_timer(context.current_utc_datetime + timedelta(days=1))
    quick = context.call_activity("square_number", 5)
    winner = yield context.task_any(activities=[slow, quick])
    if winner == quick:
        slow.cancel()
    return [winner == quick, quick.result, slow.is_cancelled]


@app.orchestration_trigger(context_name="context")
def as_they_finish(context):
    open_tasks = [context.call_activity("square_number", number) for number in (1, 2, 3)]
    done = []
    while open_tasks:
        winner = yield context.task_any(open_tasks)
        open_tasks.remove(winner)
        done.append(winner.result)
    return sorted(done)


@app.orchestration_trigger(context_name="context")
def two_steps_and_a_sum(context):
    listed = yield context.call_activity("list_work", None)
    results = yield context.task_all([context.call_activity("square_number", one) for one in listed["items"]])
    total = yield context.call_activity("add_up", results)
    context.set_custom_status({"processed": len(results)})
    return total


@app.activity_trigger(input_name="number")
def square_number(number: int) -> int:
    return number * number


@app.activity_trigger(input_name="nothing")
def list_work(nothing):
    return {"items": [3, 4]}


@app.activity_trigger(input_name="numbers")
def add_up(numbers: list) -> int:
    return sum(numbers)
