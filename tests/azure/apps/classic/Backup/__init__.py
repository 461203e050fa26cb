"""An orchestrator: a list, then one copy for each of it."""

from __future__ import annotations

from azure.durable_functions import DurableOrchestrationContext, Orchestrator


def copy_everything(context: DurableOrchestrationContext):
    folder: str = context.get_input()
    if not folder:
        raise Exception("A folder is required as input")
    files = yield context.call_activity("ListFiles", folder)
    sizes = yield context.task_all([context.call_activity("CopyFile", path) for path in files])
    return len(sizes)


main = Orchestrator.create(copy_everything)
