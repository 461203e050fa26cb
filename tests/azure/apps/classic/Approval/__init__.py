"""An orchestrator: an approval against a timer."""

from __future__ import annotations

from datetime import timedelta

import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    timeout = context.create_timer(context.current_utc_datetime + timedelta(minutes=10))
    approval = context.wait_for_external_event("Approved")
    winner = yield context.task_any([approval, timeout])
    return "approved" if winner == approval else "too late"


main = df.Orchestrator.create(orchestrator_function)
