"""An instance whose code is another Python's, and cannot be made anew, waits and says why; on new code it goes on."""

from __future__ import annotations

from typing import Any

import durable_ray as dr
from durable_ray.actors.store.opening import SqlStore
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.authoring.options import OrchestratorOptions
from durable_ray.testing import TestHub


async def waiter(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("go")


async def newer(ctx: dr.OrchestrationContext) -> Any:
    return "newer", await ctx.wait_for_external_event("go")


def definition(function: Any) -> Orchestrator[..., Any]:
    return Orchestrator(function, OrchestratorOptions("waiter"))


def test_it_waits_with_the_reason_and_goes_on_with_code_of_this_python() -> None:
    own = DefinitionCatalog()
    own.register(definition(waiter))
    with TestHub(definitions=own, auto_advance=False) as hub:
        handle = hub.client.start_new("waiter", instance_id="w", placement="shared")
        hub.settle()
        assert isinstance(hub.store, SqlStore)
        old = Statement("UPDATE definitions SET body = :body")
        hub.store.database.write(lambda session: session.run(old, body=b"2.7\nits bytecode"))
        hub.crash()
        handle.raise_event("go", 1)
        hub.settle()
        status = handle.get_status()
        assert status is not None
        assert status.waiting_reason is not None
        assert "packed by Python 2.7" in status.waiting_reason
        assert "durable-ray rewind ID --latest" in status.waiting_reason

        hub.client.register(definition(newer))
        handle.terminate("to be moved")
        hub.settle()
        handle.rewind(version="latest")
        assert handle.wait_for_completion(timeout=20) == ["newer", 1]  # the event that came meanwhile is not lost
