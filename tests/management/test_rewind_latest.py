"""`rewind(version="latest")`: the whole failed tree goes on with its newest code, or nothing at all is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.authoring.options import OrchestratorOptions
from durable_ray.testing import TestHub
from tests.management.conftest import assert_nobody_is_forgotten
from tests.management.shapes import BROKEN, fragile, note, ran

PLACEMENTS = ["dedicated", "shared"]


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """A hub to which is deployed what a test says, when it says so."""
    settings = dr.HubSettings(partitions=2, sweep_interval=600)
    with TestHub(auto_advance=False, settings=settings, definitions=DefinitionCatalog()) as hub:
        yield hub
        assert_nobody_is_forgotten(hub)


def deploy(client: dr.Client, name: str, fn: Callable[..., Any], version: str = "") -> None:
    """Make `fn` the newest orchestrator of that name."""
    client.register(Orchestrator(fn, OrchestratorOptions(name=name, version=version)), note, fragile)


async def buggy(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    await ctx.call_activity(note, "first")
    raise ZeroDivisionError("a bug")


async def mended(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    await ctx.call_activity(note, "first")
    await ctx.call_activity(note, "second")
    return [value, await ctx.wait_for_external_event("go")]


async def another(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    await ctx.call_activity(fragile, "something else")


async def calls_child(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    await ctx.call_activity(note, "parent")
    return await ctx.call_sub_orchestrator("child", value, f"{ctx.instance_id}-child")


async def calls_child_and_says_so(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    await ctx.call_activity(note, "parent")
    return {"child": await ctx.call_sub_orchestrator("child", value, f"{ctx.instance_id}-child")}


def failed(client: dr.Client, name: str, instance_id: str, **more: Any) -> None:
    client.start_new(name, 7, instance_id=instance_id, **more)
    with pytest.raises(dr.OrchestrationFailed):
        client.wait_for_completion(instance_id, 20)


def standing(hub: TestHub, *instance_ids: str) -> Any:
    """All that the store knows of these."""
    hub.settle()
    store = hub.hub.store
    return [(store.rows([i])[i], store.history(i)) for i in instance_ids]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_mended_orchestrator_goes_on_where_the_bug_was(hub: TestHub, client: dr.Client, placement: Any) -> None:
    deploy(client, "job", buggy)
    failed(client, "job", "j", placement=placement)
    deploy(client, "job", mended, "2")
    client.rewind("j", "on its own code it fails again")
    with pytest.raises(dr.OrchestrationFailed, match="a bug"):
        client.wait_for_completion("j", 20)
    client.rewind("j", "mended", version="latest")
    client.raise_event("j", "go", "on")
    assert client.wait_for_completion("j", 20) == [7, "on"]
    assert ran() == ["first", "second"]
    status = client.get_status("j")
    assert status is not None
    assert status.version == "2"


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_it_stays_on_the_code_it_moved_to(hub: TestHub, client: dr.Client, placement: Any) -> None:
    deploy(client, "job", buggy)
    failed(client, "job", "j", placement=placement)
    deploy(client, "job", mended)
    client.rewind("j", version="latest")
    hub.settle()
    deploy(client, "job", another)
    hub.crash()
    client.raise_event("j", "go", "after a crash")
    assert client.wait_for_completion("j", 20) == [7, "after a crash"]
    rewound = [entry for entry in client.get_history("j") or [] if entry["EventType"] == "ExecutionRewound"]
    ((row, _),) = standing(hub, "j")
    assert [entry["CodeId"] for entry in rewound] == [row.code_id]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_history_that_does_not_replay_is_said_to_and_nothing_is_changed(
    hub: TestHub, client: dr.Client, placement: Any
) -> None:
    deploy(client, "job", buggy)
    failed(client, "job", "j", placement=placement)
    before = standing(hub, "j")
    deploy(client, "job", another, "3")
    with pytest.raises(dr.HistoryMismatch) as caught:
        client.rewind("j", version="latest")
    said = str(caught.value)
    assert isinstance(caught.value, dr.InvalidState)
    for part in ("'j'", "the newest 'job' (version '3')", "event #", "'note'", "'fragile'"):
        assert part in said
    assert standing(hub, "j") == before
    deploy(client, "job", mended)
    client.rewind("j", version="latest")
    client.raise_event("j", "go", 1)
    assert client.wait_for_completion("j", 20) == [7, 1]


def test_the_whole_failed_tree_moves(hub: TestHub, client: dr.Client) -> None:
    deploy(client, "child", buggy)
    deploy(client, "parent", calls_child)
    failed(client, "parent", "p")
    deploy(client, "child", mended)
    deploy(client, "parent", calls_child_and_says_so)
    client.rewind("p", version="latest")
    hub.settle()
    client.raise_event("p-child", "go", "on")
    assert client.wait_for_completion("p", 20) == {"child": [7, "on"]}
    assert ran() == ["parent", "first", "second"]


def test_nothing_of_the_tree_moves_if_one_of_it_cannot(hub: TestHub, client: dr.Client) -> None:
    deploy(client, "child", buggy)
    deploy(client, "parent", calls_child)
    failed(client, "parent", "p")
    before = standing(hub, "p", "p-child")
    deploy(client, "child", another)
    deploy(client, "parent", calls_child_and_says_so)
    with pytest.raises(dr.HistoryMismatch, match="'p-child' on the newest 'child'"):
        client.rewind("p", version="latest")
    assert standing(hub, "p", "p-child") == before


def test_what_failed_because_of_an_activity_moves_too(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
        return await ctx.call_activity(fragile, value)

    async def after(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
        return ["new", await ctx.call_activity(fragile, value)]

    monkeypatch.setenv(BROKEN, "*")
    deploy(client, "job", before)
    failed(client, "job", "j")
    monkeypatch.setenv(BROKEN, "")
    deploy(client, "job", after)
    client.bulk("rewind", version="latest", name="job")
    assert client.wait_for_completion("j", 20) == ["new", 7]


def test_bulk_tells_of_those_that_do_not_fit(hub: TestHub, client: dr.Client) -> None:
    deploy(client, "job", buggy)
    for n in range(2):
        failed(client, "job", f"j{n}")
    deploy(client, "job", another)
    report = client.bulk("rewind", version="latest", name="job")
    assert report.done == ()
    assert sorted(report.refused) == ["j0", "j1"]
    assert all("event #" in why for why in report.refused.values())


def test_what_cannot_be_rewound_is_refused(hub: TestHub, client: dr.Client) -> None:
    deploy(client, "job", mended)
    client.start_new("job", 1, instance_id="running").wait_for_start(20)
    client.start_new("job", 1, instance_id="completed")
    client.raise_event("completed", "go")
    client.wait_for_completion("completed", 20)
    with pytest.raises(dr.InstanceNotFound):
        client.rewind("nobody", version="latest")
    for instance_id, why in (("running", "it is Running"), ("completed", "it completed")):
        with pytest.raises(dr.InvalidState, match=why):
            client.rewind(instance_id, version="latest")


@pytest.mark.parametrize("version", ["", "1", "newest", 2, True])
def test_another_version_than_the_latest_is_refused(hub: TestHub, client: dr.Client, version: Any) -> None:
    deploy(client, "job", buggy)
    failed(client, "job", "j")
    before = standing(hub, "j")
    with pytest.raises(ValueError, match="version is 'latest'"):
        client.rewind("j", version=version)
    with pytest.raises(ValueError, match="version is 'latest'"):
        client.get_handle("j").rewind(version=version)
    with pytest.raises(ValueError, match="version is 'latest'"):
        client.bulk("rewind", version=version)
    assert standing(hub, "j") == before
