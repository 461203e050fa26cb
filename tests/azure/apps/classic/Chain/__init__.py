"""An orchestrator: two steps."""

from __future__ import annotations

import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    files = yield context.call_activity("ListFiles", context.get_input())
    copied = yield context.call_activity("CopyFile", files[0])
    return copied


main = df.Orchestrator.create(orchestrator_function)
