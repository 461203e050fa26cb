"""A function that cannot be stored blocks what needs it, and nothing else that the same process decorates or starts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.code.packing import DefinitionCannotTravel
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.client import Client
from durable_ray.client.deploying import Deployer
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.testing import TestHub

LOCK: Any = None


@pytest.fixture
def catalog() -> DefinitionCatalog:
    return DefinitionCatalog()


@pytest.fixture
def client(catalog: DefinitionCatalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Its hub has "long_ago" and "locked", deployed by another process."""
    monkeypatch.setitem(globals(), "LOCK", threading.Lock())
    with TestHub(definitions=catalog) as hub:
        own = hub.client
        other = Client._of(own._hello, Deployer(DefinitionCatalog(), None), 1, own._driver)
        other.register(orchestrator(fine, "long_ago"), activity(old, "locked"))
        yield hub.client


def old() -> str:
    return "old"


def orchestrator(fn: Callable[..., Any], name: str) -> Orchestrator[..., Any]:
    return Orchestrator(fn, OrchestratorOptions(name=name))


def activity(fn: Callable[..., Any], name: str) -> Activity[..., Any]:
    return Activity(fn, ActivityOptions(name=name, local=True))


async def fine(ctx: dr.OrchestrationContext) -> str:
    return "fine"


def locked() -> str:
    return "locked" if LOCK else "unlocked"


def test_it_blocks_no_start_of_something_else(catalog: DefinitionCatalog, client: Client) -> None:
    catalog.register(activity(locked, "locked"))
    catalog.register(orchestrator(fine, "own"))
    assert client.start_new("long_ago").wait_for_completion(10) == "fine"
    own = catalog.get("orchestrator", "own")
    assert isinstance(own, Orchestrator)
    assert client.start_new(own).wait_for_completion(10) == "fine"
    assert client.start_from({"FunctionName": "own"})[0].wait_for_completion(10) == "fine"
    handle = client.start_new("own")
    handle.wait_for_completion(10)
    assert handle.restart().wait_for_completion(10) == "fine"


def test_it_blocks_what_calls_it_however_deep(catalog: DefinitionCatalog, client: Client) -> None:
    holds = activity(locked, "locked")

    async def caller(ctx: dr.OrchestrationContext) -> Any:
        return await ctx.call_activity(holds)

    inner = orchestrator(caller, "caller")

    async def calls_caller(ctx: dr.OrchestrationContext) -> Any:
        return await ctx.call_sub_orchestrator(inner)

    outer = orchestrator(calls_caller, "outer")
    for one in (holds, inner, outer):
        catalog.register(one)
    # An older one of that name is deployed: that is not what this process means by it.
    for wanted in (inner, outer, "caller", "outer"):
        with pytest.raises(DefinitionCannotTravel, match=r"'locked' cannot be stored.*lock"):
            client.start_new(wanted)
    assert client.count() == 0


def test_an_orchestrator_that_cannot_be_stored_is_not_started(catalog: DefinitionCatalog, client: Client) -> None:
    lock = threading.Lock()

    async def holds(ctx: dr.OrchestrationContext) -> bool:
        return lock.locked()

    catalog.register(orchestrator(holds, "long_ago"))
    for _ in range(2):
        with pytest.raises(DefinitionCannotTravel):
            client.start_new("long_ago")


def test_it_is_deployed_when_it_can_be(
    catalog: DefinitionCatalog, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds = activity(locked, "locked")

    async def caller(ctx: dr.OrchestrationContext) -> Any:
        return await ctx.call_activity(holds)

    for one in (holds, orchestrator(caller, "caller")):
        catalog.register(one)
    with pytest.raises(DefinitionCannotTravel):
        client.start_new("caller")
    monkeypatch.setitem(globals(), "LOCK", None)
    assert client.start_new("caller").wait_for_completion(10) == "unlocked"


def test_deploying_everything_deploys_the_others_and_says_what_is_left(
    catalog: DefinitionCatalog, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.register(activity(locked, "locked"))
    catalog.register(orchestrator(fine, "own"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(DefinitionCannotTravel, match="'locked'"):
                client.register()
    assert [record.message for record in caplog.records if "'locked' is not deployed" in record.message] != []
    assert len(caplog.records) == 1, "said once"
    assert client.start_new("own").wait_for_completion(10) == "fine"
    with pytest.raises(DefinitionCannotTravel):
        client.register(activity(locked, "locked"))


async def calls_by_name(ctx: dr.OrchestrationContext, name: str) -> Any:
    return await ctx.call_activity(name)


async def starts_by_name(ctx: dr.OrchestrationContext, name: str) -> Any:
    return await ctx.call_sub_orchestrator(name)


def test_who_calls_it_by_name_learns_why_it_is_not_there(
    catalog: DefinitionCatalog, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = threading.Lock()

    async def holds(ctx: dr.OrchestrationContext) -> bool:
        return lock.locked()

    catalog.register(activity(locked, "only_here"))
    catalog.register(orchestrator(holds, "child"))
    catalog.register(orchestrator(calls_by_name, "calls_by_name"))
    catalog.register(orchestrator(starts_by_name, "starts_by_name"))
    for caller, name, kind in (
        ("calls_by_name", "only_here", "activity"),
        ("starts_by_name", "child", "orchestrator"),
    ):
        handle = client.start_new(caller, name)
        text = f"{kind} '{name}' is not deployed to this hub: definition '{name}' cannot be stored: .*lock.*; deploy it"
        with pytest.raises(dr.OrchestrationFailed, match=text):
            handle.wait_for_completion(10)
    # So does who starts it by name from elsewhere.
    other = Client._of(client._hello, Deployer(DefinitionCatalog(), None), 1, client._driver)
    with pytest.raises(dr.UnknownDefinition, match=r"cannot be stored: .*lock"):
        other.start_new("child")
    shown = {(one.kind, one.name) for one in client._driver.run(client._router.registry(Registry.definitions))}
    assert not shown & {("activity", "only_here"), ("orchestrator", "child")}
    # What another process deployed is not affected.
    assert client.start_new("calls_by_name", "locked").wait_for_completion(10) == "old"
    # And the reason is gone when it can be deployed.
    monkeypatch.setitem(globals(), "LOCK", None)
    with pytest.raises(DefinitionCannotTravel, match="child"):
        client.register()
    handle.rewind()
    with pytest.raises(dr.OrchestrationFailed, match="lock"):
        handle.wait_for_completion(10)
    assert client.start_new("calls_by_name", "only_here").wait_for_completion(10) == "unlocked"


def test_a_reason_never_replaces_a_version_that_could_be_deployed(catalog: DefinitionCatalog, client: Client) -> None:
    lock = threading.Lock()

    async def holds(ctx: dr.OrchestrationContext) -> bool:
        return lock.locked()

    catalog.register(Orchestrator(fine, OrchestratorOptions(name="both", version="1")))
    catalog.register(Orchestrator(holds, OrchestratorOptions(name="both", version="2")))
    assert client.start_new("both", version="1").wait_for_completion(10) == "fine"
    with pytest.raises(DefinitionCannotTravel):
        client.start_new("both", version="2")
