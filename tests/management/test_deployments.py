"""Whatever was deployed before a message was accepted is known when that message is handled: in each placement, from every
door, by whatever process it was deployed, and whether or not anybody was told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Literal

import pytest

import durable_ray as dr
from durable_ray.actors.registry.notifier import Notifier
from durable_ray.client.client import Client
from durable_ray.client.deploying import Deployer
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.testing import TestHub

PLACEMENTS = pytest.mark.parametrize("placement", ["shared", "dedicated"])
Placement = Literal["shared", "dedicated"]


@pytest.fixture(params=["told", "not told"])
def hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestHub]:
    """A hub that never sweeps; with "not told" its hosts hear nothing of deployments, as if the word were lost."""
    if request.param == "not told":

        async def nothing(notifier: Notifier) -> None: ...

        monkeypatch.setattr(Notifier, "announce", nothing)
    settings = dr.HubSettings(partitions=2, sweep_interval=3600)
    with TestHub(definitions=DefinitionCatalog(), settings=settings, auto_advance=False) as hub:
        yield hub


def deploy(hub: TestHub, *definitions: Activity[..., Any] | Orchestrator[..., Any]) -> None:
    """As another process would: the hub's own client hears nothing of it."""
    own = hub.client
    Client._of(own._hello, Deployer(DefinitionCatalog(), None), hub.hub.settings.partitions, own._driver).register(
        *definitions
    )
    hub.settle()


def activity(fn: Callable[..., Any], **more: Any) -> Activity[..., Any]:
    return Activity(fn, ActivityOptions(name="which", local=True, **more))


def orchestrator(fn: Callable[..., Any], name: str = "o", **more: Any) -> Orchestrator[..., Any]:
    return Orchestrator(fn, OrchestratorOptions(name=name, **more))


def old() -> str:
    return "old"


def new() -> str:
    return "new"


def breaks() -> str:
    raise ZeroDivisionError("a bug")


async def returns_old(ctx: dr.OrchestrationContext) -> str:
    return "old"


async def returns_new(ctx: dr.OrchestrationContext) -> str:
    return "new"


async def calls_after_event(ctx: dr.OrchestrationContext) -> str:
    await ctx.wait_for_external_event("go")
    return str(await ctx.call_activity("which"))


async def calls_after_timer(ctx: dr.OrchestrationContext) -> str:
    await ctx.create_timer(timedelta(hours=1))
    return str(await ctx.call_activity("which"))


async def child_after_event(ctx: dr.OrchestrationContext) -> str:
    await ctx.wait_for_external_event("go")
    return str(await ctx.call_sub_orchestrator("child"))


async def again_after_event(ctx: dr.OrchestrationContext) -> None:
    await ctx.wait_for_external_event("go")
    ctx.continue_as_new(None)


async def retries(ctx: dr.OrchestrationContext) -> str:
    policy = dr.RetryPolicy(timedelta(hours=1), 3)
    return str(await ctx.call_activity("which", retry_policy=policy))


@PLACEMENTS
def test_a_mended_activity_reaches_an_instance_that_waits(hub: TestHub, placement: Placement) -> None:
    deploy(hub, activity(old), orchestrator(calls_after_event))
    handle = hub.client.start_new("o", placement=placement)
    hub.settle()
    deploy(hub, activity(new))
    handle.raise_event("go")
    assert handle.wait_for_completion(10) == "new"


@PLACEMENTS
def test_a_mended_activity_reaches_an_instance_that_sleeps(hub: TestHub, placement: Placement) -> None:
    deploy(hub, activity(old), orchestrator(calls_after_timer))
    handle = hub.client.start_new("o", placement=placement)
    hub.settle()
    deploy(hub, activity(new))
    hub.advance(timedelta(hours=2))
    assert handle.wait_for_completion(10) == "new"


@PLACEMENTS
def test_a_mended_activity_is_what_the_next_attempt_runs(hub: TestHub, placement: Placement) -> None:
    deploy(hub, activity(breaks), orchestrator(retries))
    handle = hub.client.start_new("o", placement=placement)
    hub.settle()
    deploy(hub, activity(new))
    hub.advance(timedelta(hours=2))
    assert handle.wait_for_completion(10) == "new"


@PLACEMENTS
def test_a_mended_activity_is_what_a_rewind_runs(hub: TestHub, placement: Placement) -> None:
    deploy(hub, activity(breaks), orchestrator(calls_after_event))
    handle = hub.client.start_new("o", placement=placement)
    handle.raise_event("go")
    with pytest.raises(dr.OrchestrationFailed):
        handle.wait_for_completion(10)
    deploy(hub, activity(new))
    handle.rewind()
    assert handle.wait_for_completion(10) == "new"


@PLACEMENTS
def test_an_activity_deployed_later_is_found(hub: TestHub, placement: Placement) -> None:
    deploy(hub, orchestrator(calls_after_event))
    handle = hub.client.start_new("o", placement=placement)
    hub.settle()
    deploy(hub, activity(new))
    handle.raise_event("go")
    assert handle.wait_for_completion(10) == "new"


@PLACEMENTS
@pytest.mark.parametrize("before", [None, returns_old], ids=["first", "mended"])
def test_a_sub_orchestrator(hub: TestHub, placement: Placement, before: Callable[..., Any] | None) -> None:
    deploy(hub, orchestrator(child_after_event), *([orchestrator(before, "child")] if before else []))
    handle = hub.client.start_new("o", placement=placement)
    hub.settle()
    deploy(hub, orchestrator(returns_new, "child"))
    handle.raise_event("go")
    hub.settle()
    assert handle.wait_for_completion(10) == "new"


@PLACEMENTS
def test_continue_as_new(hub: TestHub, placement: Placement) -> None:
    deploy(hub, orchestrator(again_after_event))
    handle = hub.client.start_new("o", placement=placement)
    hub.settle()
    deploy(hub, orchestrator(returns_new))
    handle.raise_event("go")
    assert handle.wait_for_completion(10) == "new"


STARTS: dict[str, Callable[[Client], dr.OrchestrationHandle]] = {
    "by name": lambda client: client.start_new("o"),
    "a chosen ID": lambda client: client.start_new("o", instance_id="singleton"),
    "a chosen ID in a partition": lambda client: client.start_new("o", instance_id="singleton", placement="shared"),
    "an actor of its own": lambda client: client.start_new("o", placement="dedicated"),
    "many": lambda client: client.start_many("o", [None] * 5)[-1],
    "a start object": lambda client: client.start_from({"FunctionName": "o"})[0],
    "with an event": lambda client: client.signal_with_start("o", "e", instance_id="singleton"),
    "later": lambda client: client.start_new("o", start_at=timedelta(seconds=1)),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("before", [None, returns_old], ids=["first", "mended"])
def test_every_start(
    hub: TestHub, start: Callable[[Client], dr.OrchestrationHandle], before: Callable[..., Any] | None
) -> None:
    # Every partition lives, and has seen what was deployed before.
    deploy(hub, orchestrator(returns_old, "other"), *([orchestrator(before)] if before else []))
    hub.client.start_many("other" if before is None else "o", [None] * 20)
    hub.settle()
    deploy(hub, orchestrator(returns_new))
    handle = start(hub.client)
    hub.advance(timedelta(seconds=2))
    assert handle.wait_for_completion(10) == "new"


def test_a_new_placement_of_its_orchestrator(hub: TestHub) -> None:
    deploy(hub, orchestrator(returns_old))
    hub.client.start_many("o", [None] * 20)
    hub.settle()
    deploy(hub, orchestrator(returns_new, placement="dedicated"))
    handle = hub.client.start_new("o")
    assert handle.wait_for_completion(10) == "new"
    assert hub.hub.store.rows([handle.instance_id])[handle.instance_id].placement == "dedicated"


def test_a_restart(hub: TestHub) -> None:
    deploy(hub, orchestrator(returns_old))
    handle = hub.client.start_new("o")
    assert handle.wait_for_completion(10) == "old"
    deploy(hub, orchestrator(returns_new))
    again = handle.restart()
    assert again.wait_for_completion(10) == "new"


def test_a_limit_deployed_later_holds(hub: TestHub) -> None:
    deploy(hub, orchestrator(calls_after_event))
    hub.client.start_many("o", [None] * 3)
    hub.settle()
    deploy(hub, orchestrator(calls_after_event, max_running=1))
    more = [hub.client.start_new("o") for _ in range(2)]
    hub.settle()
    assert {hub.client.get_status(handle.instance_id).runtime_status for handle in more} == {"Pending"}


def test_nobody_has_deployed_it(hub: TestHub) -> None:
    deploy(hub, orchestrator(returns_old))
    hub.client.start_new("o").wait_for_completion(10)
    with pytest.raises(dr.UnknownDefinition, match="nobody"):
        hub.client.start_new("nobody")


def test_what_is_deployed_to_an_emptied_hub_is_known(hub: TestHub) -> None:
    deploy(hub, activity(old), orchestrator(calls_after_event))
    handle = hub.client.start_new("o")
    hub.client.delete_task_hub("testing", force=True)
    hub.settle()
    with pytest.raises(dr.UnknownDefinition):
        hub.client.start_new("o")
    deploy(hub, activity(new), orchestrator(calls_after_event))
    handle = hub.client.start_new("o")
    handle.raise_event("go")
    assert handle.wait_for_completion(10) == "new"
    assert not hub.hub.registry.deployments.behind
