"""A definition that nobody can read is not stored; and one that is in the store all the same stops nothing but itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import durable_ray as dr
from durable_ray.actors.code.described import DefinitionUnreadable
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.testing import TestHub
from tests.unit.actors.hosting import row_of

DAMAGE: dict[str, Callable[[DefinitionRow], DefinitionRow]] = {
    "no JSON": lambda row: replace(row, options="{"),
    "no object": lambda row: replace(row, options="[1]"),
    "an option of another kind": lambda row: replace(row, options=row.options[:-1] + ', "max_running": "many"}'),
    "a runtime environment that is none": lambda row: replace(row, runtime_env="{"),
}
damaged = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)


def step() -> str:
    return "done"


async def calls(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.call_activity("step")


async def fine(ctx: dr.OrchestrationContext) -> str:
    return "fine"


async def parent(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.call_sub_orchestrator("calls")


STEP = Activity(step, ActivityOptions(name="step", local=True))
CALLS = Orchestrator(calls, OrchestratorOptions(name="calls"))
FINE = Orchestrator(fine, OrchestratorOptions(name="fine"))
PARENT = Orchestrator(parent, OrchestratorOptions(name="parent"))


def opened(store: str) -> TestHub:
    return TestHub(store, definitions=DefinitionCatalog(), settings=dr.HubSettings(partitions=1, sweep_interval=3600))


@damaged
def test_it_is_refused_with_all_that_came_with_it(damage: Callable[[DefinitionRow], DefinitionRow]) -> None:
    with opened("sqlite://") as hub:
        rows = [row_of(FINE), damage(row_of(CALLS))]
        with pytest.raises(DefinitionUnreadable, match="orchestrator 'calls' cannot be read"):
            hub.on_loop(hub.hub.registry.register(rows)).result(10)
        assert hub.hub.store.definitions() == ()


@damaged
@pytest.mark.parametrize("reopened", [False, True])
def test_in_the_store_it_stops_only_itself(
    damage: Callable[[DefinitionRow], DefinitionRow], reopened: bool, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/hub.db"
    with opened(store) as hub:
        hub.client.register(STEP, CALLS, FINE, PARENT)
        assert hub.client.start_new("calls").wait_for_completion(10) == "done"
        newer = [replace(damage(row_of(one)), code_id="newer") for one in (STEP, CALLS)]
        hub.hub.store.put_definitions(newer)
        if not reopened:
            check(hub)
    if reopened:
        with opened(store) as hub:
            check(hub)


def check(hub: TestHub) -> None:
    client = hub.client
    assert client.start_new("fine").wait_for_completion(10) == "fine"
    # The older one is not run as if nothing were.
    with pytest.raises(dr.UnknownDefinition, match=r"orchestrator 'calls' cannot be read.*deploy it again"):
        client.start_new("calls")
    parent = client.start_new("parent")
    with pytest.raises(dr.OrchestrationFailed, match=r"orchestrator 'calls' cannot be read.*again, then rewind"):
        parent.wait_for_completion(10)
    client.register(CALLS)
    handle = client.start_new("calls")
    with pytest.raises(dr.OrchestrationFailed, match=r"activity 'step' cannot be read.*deploy it again, then rewind"):
        handle.wait_for_completion(10)
    client.register(STEP)
    handle.rewind()
    assert handle.wait_for_completion(10) == "done"
