"""S23 to S27: terminate, suspend, resume and events, in every state an instance can be in."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.code.definition_cache import DefinitionCache, DefinitionMissing
from durable_ray.testing import TestHub
from tests.management.shapes import collector, echo, eternal, guardian, note, sleeper, waiter

PLACEMENTS = ["dedicated", "shared"]


def status_of(client: dr.Client, instance_id: str) -> str:
    status = client.get_status(instance_id)
    return "absent" if status is None else str(status.runtime_status)


# --- S23, S24: terminate --------------------------------------------------------------------------


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s23_terminate_at_once_with_its_reason(client: dr.Client, hub: TestHub, placement: Any) -> None:
    handle = client.start_new(waiter, placement=placement)
    hub.settle()
    handle.terminate("enough")
    with pytest.raises(dr.OrchestrationTerminated) as caught:
        handle.wait_for_completion(20)
    assert caught.value.reason == "enough"
    status = handle.get_status()
    assert status is not None
    assert (status.output, str(status.runtime_status)) == ("enough", "Terminated")
    with pytest.raises(dr.InstanceFinished):
        handle.terminate("again")
    with pytest.raises(dr.InstanceNotFound):
        client.terminate("nobody")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_pending_instance_is_terminated_without_a_process(client: dr.Client, hub: TestHub, placement: Any) -> None:
    handle = client.start_new(echo, 1, instance_id="p", start_at=timedelta(days=1), placement=placement)
    handle.terminate("never mind")
    with pytest.raises(dr.OrchestrationTerminated):
        handle.wait_for_completion(20)
    assert "instance:p" not in hub.hub.hosts
    assert client.purge("p") == 1
    assert status_of(client, "p") == "absent"


def test_s24_children_go_on_unless_asked(client: dr.Client, hub: TestHub) -> None:
    for recursive, expected in ((False, "Running"), (True, "Terminated")):
        kid = f"kid-{recursive}"
        handle = client.start_new(guardian, kid)
        hub.settle()
        handle.terminate("x", recursive=recursive)
        hub.settle()
        assert status_of(client, kid) == expected


def test_s24_a_running_activity_is_told_to_stop(hub: TestHub, client: dr.Client) -> None:
    seen: dict[str, threading.Event] = {"began": threading.Event(), "stopped": threading.Event()}
    _events.update(seen)

    @dr.activity(name="stoppable")
    def stoppable(context: dr.ActivityContext, name: str) -> bool:
        from tests.management.test_messages import _events

        _events["began"].set()
        for _ in range(2000):
            if context.cancel_requested:
                _events["stopped"].set()
                return True
            threading.Event().wait(0.005)
        return False

    @dr.orchestrator(name="long_activity")
    async def long_activity(ctx: dr.OrchestrationContext) -> Any:
        return await ctx.call_activity(stoppable, "x")

    handle = client.start_new(long_activity)
    assert seen["began"].wait(20)
    handle.terminate("stop", cancel_activities=True)
    assert seen["stopped"].wait(20)
    with pytest.raises(dr.OrchestrationTerminated):
        handle.wait_for_completion(20)


_events: dict[str, threading.Event] = {}


def test_terminate_against_completion_has_one_outcome(hub: TestHub) -> None:
    client = hub.async_client

    async def race(n: int) -> None:
        handle = await client.start_new(waiter, instance_id=f"r{n}")
        outcomes = await asyncio.gather(handle.raise_event("go", n), handle.terminate("t"), return_exceptions=True)
        try:
            # A termination that was accepted while the event waited before it may come too late.
            assert await handle.wait_for_completion(20) == n
            assert outcomes[1] is None or isinstance(outcomes[1], dr.InstanceFinished)
        except dr.OrchestrationTerminated:
            assert outcomes[1] is None

    async def races() -> None:
        await asyncio.gather(*(race(n) for n in range(20)))

    asyncio.run(races())


def test_start_against_terminate_leaves_nothing_pending(hub: TestHub) -> None:
    client = hub.async_client

    async def race(n: int) -> None:
        await asyncio.gather(
            client.start_new(waiter, instance_id=f"s{n}"), client.terminate(f"s{n}"), return_exceptions=True
        )
        handle = client.get_handle(f"s{n}")
        await asyncio.gather(handle.terminate(), return_exceptions=True)
        with pytest.raises(dr.OrchestrationTerminated):
            await handle.wait_for_completion(20)

    async def races() -> None:
        await asyncio.gather(*(race(n) for n in range(20)))

    asyncio.run(races())
    assert hub.client.counts() == {("waiter", "Terminated"): 20}


# --- suspend, resume ------------------------------------------------------------------------------


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_suspended_events_are_kept_and_timers_fire_on_resume(client: dr.Client, hub: TestHub, placement: Any) -> None:
    slow = client.start_new(sleeper, 60, instance_id="slow", placement=placement)
    items = client.start_new(collector, 2, instance_id="items", placement=placement)
    hub.settle()
    for handle in (slow, items):
        handle.suspend("maintenance")
        assert status_of(client, handle.instance_id) == "Suspended"
        with pytest.raises(dr.InvalidState, match="suspended"):
            handle.suspend()
    items.raise_event("item", 1)
    items.raise_event("item", 2)
    hub.advance(timedelta(minutes=2))
    assert status_of(client, "slow") == status_of(client, "items") == "Suspended"
    for handle in (slow, items):
        handle.resume()
    assert slow.wait_for_completion(20) == "slept"
    assert items.wait_for_completion(20) == [1, 2]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_resume_of_a_running_or_finished_instance_is_an_error(client: dr.Client, hub: TestHub, placement: Any) -> None:
    handle = client.start_new(waiter, placement=placement)
    hub.settle()
    with pytest.raises(dr.InvalidState, match="not suspended"):
        handle.resume()
    handle.raise_event("go")
    handle.wait_for_completion(20)
    for act in (handle.suspend, handle.resume):
        with pytest.raises(dr.InstanceFinished):
            act()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_pending_instance_is_suspended_before_it_begins(client: dr.Client, hub: TestHub, placement: Any) -> None:
    handle = client.start_new(collector, 1, instance_id="p", start_at=timedelta(hours=1), placement=placement)
    handle.suspend("not yet")
    assert status_of(client, "p") == "Suspended"
    with pytest.raises(dr.InvalidState):
        handle.suspend()
    handle.raise_event("item", "early")
    hub.advance(timedelta(hours=2))
    assert status_of(client, "p") == "Suspended"
    handle.resume()
    assert handle.wait_for_completion(20) == ["early"]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_pending_instance_is_suspended_and_resumed_before_it_begins(
    client: dr.Client, hub: TestHub, placement: Any
) -> None:
    handle = client.start_new(echo, 1, instance_id="p", start_at=timedelta(hours=1), placement=placement)
    with pytest.raises(dr.InvalidState):
        handle.resume()
    handle.suspend()
    handle.resume()
    hub.advance(timedelta(hours=2))
    assert handle.wait_for_completion(20) == 1


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_queries_and_counts_agree_about_a_pending_instance_that_is_suspended(
    client: dr.Client, hub: TestHub, placement: Any
) -> None:
    def agree(status: str) -> None:
        found = client.get_status("p")
        assert found is not None
        assert (found.runtime_status, found.started_time, found.waiting_reason) == (status, None, None)
        assert client.counts() == {("echo", status): 1}
        assert client.count(runtime_status=status) == 1
        assert [one.instance_id for one in client.list_instances(runtime_status=status)] == ["p"]
        other = {"Pending": "Suspended", "Suspended": "Pending"}[status]
        assert (client.count(runtime_status=other), list(client.list_instances(runtime_status=other))) == (0, [])

    handle = client.start_new(echo, 1, instance_id="p", start_at=timedelta(hours=1), placement=placement)
    agree("Pending")
    handle.suspend("not yet")
    agree("Suspended")
    with pytest.raises(dr.InstanceAlreadyExists):
        client.start_new(echo, 2, instance_id="p")
    with pytest.raises(TimeoutError):
        handle.wait_for_start(0.1)
    hub.crash()
    agree("Suspended")
    handle.resume()
    agree("Pending")
    assert client.bulk("suspend").done == ("p",)
    agree("Suspended")
    assert client.bulk("resume").done == ("p",)
    agree("Pending")
    hub.advance(timedelta(hours=2))
    assert handle.wait_for_completion(20) == 1
    kinds = [entry["EventType"] for entry in handle.get_history() or []]
    assert kinds[:4] == ["ExecutionSuspended", "ExecutionResumed", "ExecutionSuspended", "ExecutionResumed"]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_pending_instance_that_is_suspended_can_be_terminated_and_begun_anew(
    client: dr.Client, hub: TestHub, placement: Any
) -> None:
    handle = client.start_new(echo, 1, instance_id="p", start_at=timedelta(hours=1), placement=placement)
    handle.suspend()
    handle.terminate("never")
    with pytest.raises(dr.OrchestrationTerminated, match="never"):
        handle.wait_for_completion(20)
    assert client.counts() == {("echo", "Terminated"): 1}
    assert client.start_new(echo, 2, instance_id="p", placement=placement).wait_for_completion(20) == 2


def test_a_suspended_instance_can_be_terminated(client: dr.Client, hub: TestHub) -> None:
    handle = client.start_new(waiter)
    hub.settle()
    handle.suspend()
    handle.terminate("x")
    with pytest.raises(dr.OrchestrationTerminated):
        handle.wait_for_completion(20)


def test_suspend_against_a_timer(hub: TestHub, client: dr.Client) -> None:
    for n in range(10):
        handle = client.start_new(sleeper, 60, instance_id=f"s{n}")
        hub.settle()
        asyncio.run(_both(hub, handle.instance_id))
        if status_of(client, handle.instance_id) == "Suspended":
            handle.resume()
        assert handle.wait_for_completion(20) == "slept"


async def _both(hub: TestHub, instance_id: str) -> None:
    loop = asyncio.get_running_loop()
    passing = loop.run_in_executor(None, hub.advance, timedelta(seconds=61))
    await asyncio.gather(hub.async_client.suspend(instance_id), passing, return_exceptions=True)


# --- S25 to S27: events ---------------------------------------------------------------------------


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s25_data_is_any_json(client: dr.Client, placement: Any) -> None:
    handle = client.start_new(collector, 4, placement=placement)
    said: list[Any] = [[1, 2, 3], {"a": None}, "text", None]
    for data in said:
        handle.raise_event("item", data)
    assert handle.wait_for_completion(20) == said


def test_s25_names_ignore_case_and_must_be_there(client: dr.Client) -> None:
    handle = client.start_new(waiter, "Approval")
    with pytest.raises(ValueError, match="needs a name"):
        handle.raise_event(" ")
    handle.raise_event("APPROVAL", True)
    assert handle.wait_for_completion(20) is True


def test_an_id_that_no_text_encoding_can_say_is_nobodys(client: dr.Client) -> None:
    half = "a\ud800"
    assert client.get_status(half) is None
    with pytest.raises(dr.InstanceNotFound) as caught:
        client.wait_for_completion(half, 5)
    assert str(caught.value).encode() == b"No instance with ID 'a\\ud800' found."


def test_an_id_may_be_a_text_of_a_derived_class(client: dr.Client) -> None:
    class Name(str):
        pass

    handle = client.start_new(echo, 1, instance_id=Name("derived"))
    assert handle.wait_for_completion(20) == 1
    assert client.get_status(Name("derived")).instance_id == "derived"  # type: ignore[union-attr]


def test_s26_absent_and_finished_instances_are_typed_errors(client: dr.Client) -> None:
    with pytest.raises(dr.InstanceNotFound):
        client.raise_event("nobody", "go")
    handle = client.start_new(echo, 1, instance_id="done")
    handle.wait_for_completion(20)
    with pytest.raises(dr.InstanceFinished):
        client.raise_event("done", "go")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s26_the_old_rule_on_request(client: dr.Client, hub: TestHub, placement: Any) -> None:
    handle = client.start_new(collector, 1, placement=placement)
    hub.settle()
    handle.raise_event("other", 0, when_not_awaited="discard")
    handle.suspend()
    handle.resume()
    handle.raise_event("item", 1, when_not_awaited="discard")
    assert handle.wait_for_completion(20) == [1]
    with pytest.raises(ValueError, match="'buffer' or 'discard'"):
        handle.raise_event("item", when_not_awaited="maybe")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s27_events_before_the_start_wait_in_order(client: dr.Client, hub: TestHub, placement: Any) -> None:
    handle = client.start_new(collector, 3, instance_id="e", start_at=timedelta(hours=1), placement=placement)
    for n in range(3):
        handle.raise_event("item", n)
    hub.crash()
    hub.advance(timedelta(hours=2))
    assert handle.wait_for_completion(20) == [0, 1, 2]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s27_events_go_along_when_it_continues_as_new(hub: TestHub, client: dr.Client, placement: Any) -> None:
    handle = client.start_new(eternal, instance_id="e", placement=placement)
    for n in range(30):
        handle.raise_event("item", n)
        if n % 10 == 5:
            hub.crash()
    handle.raise_event("item", "stop")
    assert handle.wait_for_completion(20) == list(range(30))


def test_an_idempotency_key_lets_an_event_arrive_once(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(collector, 3, instance_id="k")
    for _ in range(3):
        handle.raise_event("item", "a", idempotency_key="1")
    hub.crash()
    handle.raise_event("ITEM", "a", idempotency_key="1")

    async def many() -> None:
        await asyncio.gather(*(hub.async_client.raise_event("k", "item", "b", idempotency_key="2") for _ in range(10)))

    asyncio.run(many())
    handle.raise_event("item", "c")
    assert handle.wait_for_completion(20) == ["a", "b", "c"]
    # A later instance of the same ID has heard of no key.
    hub.advance(timedelta(seconds=1))
    again = client.start_new(collector, 1, instance_id="k", start_at=timedelta(seconds=1))
    again.raise_event("item", "a", idempotency_key="1")
    hub.advance(timedelta(seconds=2))
    assert again.wait_for_completion(20) == ["a"]


def test_an_idempotency_key_for_absent_and_finished_instances(client: dr.Client) -> None:
    with pytest.raises(dr.InstanceNotFound):
        client.raise_event("nobody", "go", idempotency_key="1")
    client.start_new(echo, 1, instance_id="done").wait_for_completion(20)
    with pytest.raises(dr.InstanceFinished):
        client.raise_event("done", "go", idempotency_key="1")


def test_send_event_between_orchestrations_exactly_once(hub: TestHub, client: dr.Client) -> None:
    @dr.orchestrator(name="sender")
    async def sender(ctx: dr.OrchestrationContext, target: str) -> None:
        for n in range(3):
            ctx.send_event(target, "item", n)
            await ctx.call_activity(note, n)
        ctx.send_event("nobody", "item", 0)

    handle = client.start_new(collector, 3, instance_id="receiver")
    sending = client.start_new(sender, "receiver")
    hub.crash()
    sending.wait_for_completion(20)
    assert handle.wait_for_completion(20) == [0, 1, 2]


def test_state_is_checked_for_an_instance_that_is_asleep(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(waiter, instance_id="asleep")
    hub.settle()
    hub.crash()
    with pytest.raises(dr.InvalidState, match="not suspended"):
        handle.resume()
    handle.suspend()
    with pytest.raises(dr.InvalidState, match="already suspended"):
        handle.suspend()
    handle.resume()
    handle.raise_event("go", 1)
    assert handle.wait_for_completion(20) == 1


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_an_instance_whose_code_cannot_be_had_can_be_ended(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch, placement: Any
) -> None:
    handle = client.start_new(waiter, instance_id="codeless", placement=placement)
    hub.settle()

    def missing(*_: Any) -> None:
        raise DefinitionMissing("the code is gone")

    monkeypatch.setattr(DefinitionCache, "open", missing)
    hub.crash()
    if placement == "shared":
        handle.raise_event("other")
    handle.terminate("then end it")
    with pytest.raises(dr.OrchestrationTerminated):
        handle.wait_for_completion(20)
