"""Calls the activity of its input."""

from __future__ import annotations

from typing import Any

import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext) -> Any:
    result = yield context.call_activity(context.get_input(), "Oslo")
    return result


main = df.Orchestrator.create(orchestrator_function)
