"""`pin_activities`: an execution keeps to the code with which it first called an activity.

Without it each attempt takes the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import durable_ray as dr
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.testing import TestHub


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """A hub to which is deployed what a test says, when it says so."""
    with TestHub(definitions=DefinitionCatalog()) as hub:
        yield hub


def version_1() -> str:
    return "first"


def version_2() -> str:
    return "second"


def breaks() -> str:
    raise ZeroDivisionError("a bug")


async def twice(ctx: dr.OrchestrationContext) -> list[str]:
    before: str = await ctx.call_activity("which")
    await ctx.wait_for_external_event("go")
    return [before, await ctx.call_activity("which")]


async def again(ctx: dr.OrchestrationContext, last: str | None = None) -> list[str | None]:
    now: str = await ctx.call_activity("which")
    if last is None:
        await ctx.wait_for_external_event("go")
        ctx.continue_as_new(now)
    return [last, now]


async def once(ctx: dr.OrchestrationContext) -> str:
    return str(await ctx.call_activity("which"))


def deploy_activity(client: dr.Client, fn: Callable[[], str]) -> None:
    client.register(Activity(fn, ActivityOptions(name="which", local=True)))


def deploy(client: dr.Client, fn: Callable[..., object], pinned: bool) -> None:
    options = OrchestratorOptions(name="o", pin_activities=pinned, placement="shared")
    client.register(Orchestrator(fn, options))


@pytest.mark.parametrize(("pinned", "second"), [(True, "first"), (False, "second")])
@pytest.mark.parametrize("crash", [False, True])
def test_a_later_call(hub: TestHub, pinned: bool, second: str, crash: bool) -> None:
    deploy_activity(hub.client, version_1)
    deploy(hub.client, twice, pinned)
    handle = hub.client.start_new("o")
    hub.settle()
    deploy_activity(hub.client, version_2)
    if crash:
        hub.crash()
    newcomer = hub.client.start_new("o")
    handle.raise_event("go")
    assert handle.wait_for_completion(10) == ["first", second]
    newcomer.raise_event("go")
    assert newcomer.wait_for_completion(10) == ["second", "second"]


def test_continue_as_new_is_a_new_execution(hub: TestHub) -> None:
    deploy_activity(hub.client, version_1)
    deploy(hub.client, again, True)
    handle = hub.client.start_new("o")
    hub.settle()
    deploy_activity(hub.client, version_2)
    hub.client.start_new("o")
    handle.raise_event("go")
    assert handle.wait_for_completion(10) == ["first", "second"]


@pytest.mark.parametrize("pinned", [True, False])
def test_a_rewind(hub: TestHub, pinned: bool) -> None:
    deploy_activity(hub.client, breaks)
    deploy(hub.client, once, pinned)
    handle = hub.client.start_new("o")
    with pytest.raises(dr.OrchestrationFailed):
        handle.wait_for_completion(10)
    deploy_activity(hub.client, version_2)
    handle.rewind("try again")
    if pinned:
        with pytest.raises(dr.OrchestrationFailed):
            handle.wait_for_completion(10)
        handle.rewind("with the newest", version="latest")
    assert handle.wait_for_completion(10) == "second"
