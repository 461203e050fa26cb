"""What goes on for ever, and singletons: continue-as-new, counters, periodic work."""

from __future__ import annotations

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", run_on_startup=False)
@app.durable_client_input(client_name="starter")
async def keep_one_running(timer: func.TimerRequest, starter: df.DurableOrchestrationClient) -> str:
    status = await starter.get_status("the-only-one")
    runtime = status.runtime_status if status else None
    if runtime not in (df.OrchestrationRuntimeStatus.Running, df.OrchestrationRuntimeStatus.Pending):
        return await starter.start_new("count_up", "the-only-one", 0)
    return "it runs already"


@app.orchestration_trigger(context_name="context")
def count_up(context: df.DurableOrchestrationContext):
    value = context.get_input()
    operation = yield context.wait_for_external_event("operation")
    if operation == "add":
        value += 1
    elif operation == "end":
        return value
    context.continue_as_new(value)


@app.orchestration_trigger(context_name="context")
def clean_up_periodically(context):
    run = context.get_input() or 0
    yield context.call_activity("clean", run)
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    if run < 3:
        context.continue_as_new(run + 1)
        return "not seen"
    return run


@app.orchestration_trigger(context_name="context")
def again_without_waiting(context):
    rest = context.get_input()
    if rest:
        context.continue_as_new(rest - 1)
    return "done"


@app.activity_trigger(input_name="run")
def clean(run: int) -> int:
    return run
