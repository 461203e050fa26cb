"""Rules of the protocol (docs/protocol.md) that concern a whole hub, in one process on virtual time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.api import HostApi
from durable_ray.actors.cluster import connecting, in_process
from durable_ray.actors.cluster.in_process import call
from durable_ray.actors.host import service, turn_scheduler
from durable_ray.actors.host.crash_marker import NoMarker
from durable_ray.actors.messages import PROTOCOL, Delivery, Hello, StartOptions, StartRequest
from durable_ray.actors.registry.registry import Registry
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.testing import TestHub


@dr.activity
def protocol_echo(value: Any) -> Any:
    return value


@dr.activity
def protocol_gated(gate: str) -> str:
    """Returns once the file is there."""
    while not Path(gate).exists():
        time.sleep(0.005)
    return gate


@dr.orchestrator
async def protocol_work(ctx: dr.OrchestrationContext, gate: str) -> str:
    return str(await ctx.call_activity(protocol_gated, gate))


@dr.orchestrator
async def protocol_wait(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("Go")


@dr.orchestrator(placement="dedicated")
async def protocol_child(ctx: dr.OrchestrationContext, number: int) -> int:
    await ctx.call_activity(protocol_echo, number)
    return number


@dr.orchestrator(placement="dedicated")
async def protocol_parent(ctx: dr.OrchestrationContext, number: int) -> int:
    return 100 + int(await ctx.call_sub_orchestrator(protocol_child, number, instance_id=f"{ctx.instance_id}-child"))


@dr.orchestrator
async def protocol_calls(ctx: dr.OrchestrationContext, child_id: str | None) -> str:
    try:
        return str(await ctx.call_sub_orchestrator(protocol_wait, instance_id=child_id))
    except dr.SubOrchestrationFailed as error:
        return error.details.error_type


@dr.orchestrator
async def protocol_generations(ctx: dr.OrchestrationContext, left: int) -> str:
    await ctx.call_activity(protocol_echo, left)
    if left:
        ctx.continue_as_new(left - 1)
    return ctx.execution_id


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub(auto_advance=False) as hub:
        yield hub


def ask(hub: TestHub, method: Callable[..., Any], *args: Any) -> Any:
    """As a client would that knows the protocol but sends its own requests."""
    return hub.on_loop(call(hub.hub, "registry", method, *args)).result(30)


def test_a_start_that_is_sent_again_is_the_same_start(hub: TestHub) -> None:
    hub.client.register(protocol_wait)
    request = StartRequest("request-1", StartOptions("protocol_wait", "again", "e1", True))
    (first,) = ask(hub, HostApi.start_many, [request])
    second_try = StartRequest("request-1", StartOptions("protocol_wait", "again", "e1", True), retry=True)
    (second,) = ask(hub, HostApi.start_many, [second_try])
    (rival,) = ask(
        hub, HostApi.start_many, [StartRequest("request-2", StartOptions("protocol_wait", "again", "e2", True))]
    )
    assert (first.code, second.code, rival.code) == ("ok", "ok", "exists")


def test_an_event_that_is_sent_again_comes_once(hub: TestHub) -> None:
    handle = hub.client.start_new(protocol_wait, instance_id="waits")
    handle.wait_for_start()  # its host is asked directly, and has to be there
    handle.suspend()
    event = Message("message-1", ev.EventRaised("Other", "1", "message-1"))
    for retry in (False, True, True):
        delivery = Delivery("request-1", "waits", event, retry)
        host = ask(hub, Registry.resolve, ["waits"])["waits"][0]
        (reply,) = hub.on_loop(call(hub.hub, host, HostApi.deliver_many, [delivery])).result(30)
        assert reply.code == "ok"
    history = handle.get_status(show_history=True).history
    assert [e.name for e in history if isinstance(e, ev.EventRaised)] == ["Other"]


def test_placement_changes_only_with_a_new_execution(hub: TestHub) -> None:
    handle = hub.client.start_new(protocol_wait, instance_id="moves")
    assert handle.get_status().placement == "dedicated"
    with pytest.raises(dr.InstanceAlreadyExists):
        hub.client.start_new(protocol_wait, instance_id="moves", placement="shared")
    assert handle.get_status().placement == "dedicated"
    handle.raise_event("Go", 1)
    assert handle.wait_for_completion(10) == 1
    again = hub.client.start_new(protocol_wait, instance_id="moves", placement="shared")
    assert again.get_status().placement == "shared"
    again.raise_event("Go", 2)
    assert again.wait_for_completion(10) == 2


def test_while_suspended_results_are_durable_and_no_code_runs(hub: TestHub, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = hub.client.start_new(protocol_work, str(gate))
    handle.wait_for_start(10)
    handle.suspend()
    gate.touch()
    hub.settle()
    status = handle.get_status(show_history=True)
    assert status.runtime_status == "Suspended"
    assert any(isinstance(event, ev.ActivityCompleted) for event in status.history)
    hub.crash()
    handle.resume()
    assert handle.wait_for_completion(10) == str(gate)


def test_parents_and_their_children_do_not_lock_each_other_out() -> None:
    """Two processes, four parents, each waiting for a child that wants a process too."""
    with TestHub(settings=dr.HubSettings(partitions=1, sweep_interval=0.2, max_dedicated=2)) as hub:
        ids = [f"parent-{number}" for number in range(4)]
        handles = hub.client.start_many(protocol_parent, range(4), instance_ids=ids)
        assert hub.client.wait_many(handles, 30) == [100, 101, 102, 103]


def test_a_terminated_child_answers_its_parent(hub: TestHub) -> None:
    parent = hub.client.start_new(protocol_calls, "child-1", instance_id="parent")
    hub.settle()
    hub.client.terminate("child-1", "enough")
    assert parent.wait_for_completion(10) == "durable_ray.InstanceTerminated"


def test_a_child_whose_id_is_taken_fails_in_its_parent(hub: TestHub) -> None:
    other = hub.client.start_new(protocol_wait, instance_id="taken")
    parent = hub.client.start_new(protocol_calls, "taken", instance_id="parent")
    assert parent.wait_for_completion(10) == "durable_ray.InstanceAlreadyExists"
    assert not other.get_status().runtime_status.finished


def test_an_automatic_child_id_is_its_parents_and_its_place_is_shared(hub: TestHub) -> None:
    parent = hub.client.start_new(protocol_calls, None, instance_id="parent")
    hub.settle()
    (child,) = hub.client.list_instances(instance_id_prefix="parent:")
    execution = parent.get_status().execution_id
    assert child.instance_id == f"parent:{execution[:8]}:0001"
    assert (child.placement, child.parent_instance_id) == ("shared", "parent")


def test_created_time_stays_and_executions_change(hub: TestHub) -> None:
    handle = hub.client.start_new(protocol_generations, 3)
    created = handle.get_status().created_time
    last = handle.wait_for_completion(10)
    status = handle.get_status()
    assert (status.created_time, status.execution_id, status.runtime_status) == (created, last, "Completed")


class Blaming(NoMarker):
    """A marker that always finds the same instance's name: as if its host had died in its code."""

    def take(self) -> str | None:
        """Always this one."""
        return "poison"


def test_one_that_kills_its_host_again_and_again_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    with TestHub(auto_advance=False, settings=dr.HubSettings(partitions=1, max_recoveries=2)) as hub:
        poison = hub.client.start_new(protocol_wait, instance_id="poison", placement="shared")
        neighbour = hub.client.start_new(protocol_wait, instance_id="neighbour", placement="shared")
        hub.settle()
        monkeypatch.setattr(in_process, "NoMarker", Blaming)
        for _ in range(2):
            hub.crash()
            hub.client.wait_for_start("neighbour", 10)
            hub.settle()
            assert poison.get_status().runtime_status == "Running"
        hub.crash()
        neighbour.raise_event("Go", "on")
        assert neighbour.wait_for_completion(10) == "on"
        with pytest.raises(dr.OrchestrationFailed) as failed:
            poison.wait_for_completion(10)
        assert failed.value.details.error_type == "durable_ray.Poisoned"
        assert neighbour.get_status().runtime_status == "Completed"


def test_a_turn_that_breaks_the_runtime_ends_its_own_instance(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    real = turn_scheduler.take_turn

    def breaks(active: Any, *rest: Any) -> Any:
        if active.instance_id == "bad" and active.pending_messages:
            raise ZeroDivisionError("a fault of the runtime")
        return real(active, *rest)

    bad = hub.client.start_new(protocol_wait, instance_id="bad", placement="shared")
    good = hub.client.start_new(protocol_wait, instance_id="good", placement="shared")
    hub.settle()
    monkeypatch.setattr(turn_scheduler, "take_turn", breaks)
    for handle in (bad, good):
        with contextlib.suppress(dr.InstanceFinished):
            handle.raise_event("Go", "on")
    assert good.wait_for_completion(10) == "on"
    with pytest.raises(dr.OrchestrationFailed, match="a fault of the runtime"):
        bad.wait_for_completion(10)


def test_long_polls_come_in_slices_that_the_client_renews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SLICE", 0.05)
    with TestHub(start=None) as hub:
        handle = hub.client.start_new(protocol_wait, instance_id="slow", placement="shared")
        handle.wait_for_start(10)
        host = ask(hub, Registry.resolve, ["slow"])["slow"][0]
        assert hub.on_loop(call(hub.hub, host, HostApi.wait, ["slow"], 3600.0)).result(10) == []
        with pytest.raises(TimeoutError):
            handle.wait_for_completion(0.2)
        handle.raise_event("Go", "at last")
        assert handle.wait_for_completion(10) == "at last"


def test_a_hub_of_another_protocol_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Hello("registry", "h", PROTOCOL + 1, 1, 1, "sqlite:////s.db")
    monkeypatch.setattr(connecting, "join_ray", lambda address: False)
    monkeypatch.setattr(connecting, "ensure_registry", lambda info: other)
    with pytest.raises(dr.ProtocolMismatch, match="install the same release"):
        dr.Client(hub="h")


def test_a_client_that_names_another_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    running = Hello("registry", "h", PROTOCOL, 1, 1, "sqlite:////s.db")
    monkeypatch.setattr(connecting, "join_ray", lambda address: False)
    monkeypatch.setattr(connecting, "ensure_registry", lambda info: running)
    with pytest.raises(dr.DurableRayError, match="is running on the store sqlite:"):
        dr.Client(hub="h", store="sqlite:////other.db")
