"""Generators, as Azure's Durable Functions SDK for Python writes them. `python examples/azure_style.py`

Such code runs as it is. Only the decorators differ: `@dr.orchestrator` and `@dr.activity` instead of those of an
Azure function app.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import durable_ray as dr


@dr.activity
def get_work(count: int) -> list[int]:
    return list(range(count))


@dr.activity
def do_work(item: int) -> int:
    return item * item


@dr.orchestrator
def work_and_ask(context: dr.OrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    batch = yield context.call_activity("get_work", context.get_input())

    tasks = [context.call_activity("do_work", item) for item in batch]
    results = yield context.task_all(tasks)

    due = context.current_utc_datetime + timedelta(seconds=1)
    timeout_task = context.create_timer(due)
    approval_task: Any = context.wait_for_external_event("Approval")
    winner = yield context.task_any([approval_task, timeout_task])
    if winner == approval_task:
        timeout_task.cancel()
        return {"sum": sum(results), "approved": approval_task.result}
    return {"sum": sum(results), "approved": False}


def main(client: dr.Client) -> None:
    first = client.start_new(work_and_ask, 5, instance_id="asked")
    first.raise_event("Approval", True)
    second = client.start_new("work_and_ask", 6, instance_id="not-asked")
    print(first.wait_for_completion(timeout=60), second.wait_for_completion(timeout=60))


if __name__ == "__main__":
    main(dr.Client())
