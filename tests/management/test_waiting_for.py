"""A status says all that its instance waits for, and so does the error of who waited in vain."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.instances.waits import MOST_WAITS
from durable_ray.testing import TestHub

START = datetime(2030, 1, 1, tzinfo=UTC)


@dr.activity(name="waits.refused", local=True)
def refused(value: int) -> None:
    raise ValueError("card refused\nby the bank")


@dr.orchestrator(name="waits.child")
async def child(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("Deep")


@dr.orchestrator(name="waits.all")
async def everything(ctx: dr.OrchestrationContext) -> list[Any]:
    policy = dr.RetryPolicy(first_retry_interval=3600, max_number_of_attempts=4)
    return await asyncio.gather(
        ctx.wait_for_external_event("Approval"),
        ctx.wait_for_external_event("Veto", timeout=timedelta(hours=1)),
        ctx.create_timer(timedelta(days=2)),
        ctx.call_activity(refused, 1, retry_policy=policy),
        ctx.call_sub_orchestrator(child, instance_id="kid"),
    )


@dr.orchestrator(name="waits.many")
async def many(ctx: dr.OrchestrationContext, number: int) -> Any:
    return await ctx.task_all([ctx.create_timer(timedelta(days=1)) for _ in range(number)])


def waits(client: dr.Client, instance_id: str) -> tuple[dr.Wait, ...]:
    status = client.get_status(instance_id)
    assert status is not None
    return status.waiting_for


def test_everything_that_can_be_waited_for_is_told(hub: TestHub, client: dr.Client) -> None:
    client.start_new(everything, instance_id="a")
    hub.settle()
    approval, veto, timer, activity, kid = waits(client, "a")
    assert (approval.kind, approval.name, approval.since, approval.due) == ("event", "Approval", START, None)
    assert (veto.kind, veto.name, veto.due) == ("event", "Veto", START + timedelta(hours=1))
    assert (timer.kind, timer.due) == ("timer", START + timedelta(days=2))
    assert (activity.kind, activity.name, activity.attempt, activity.max_attempts) == ("activity", refused.name, 2, 4)
    assert activity.due == START + timedelta(hours=1)
    assert activity.last_failure is not None
    assert activity.last_failure.message == "card refused\nby the bank"
    assert str(activity) == (
        "activity 'waits.refused', attempt 2 of 4 after ValueError: card refused, due 2030-01-01 01:00:00Z"
    )
    assert (kid.kind, kid.name, kid.instance_id, kid.attempt) == ("child", "waits.child", "kid", 1)
    assert [(wait.kind, wait.name) for wait in waits(client, "kid")] == [("event", "Deep")]
    client.raise_event("a", "approval", 1)
    hub.settle()
    assert [wait.name for wait in waits(client, "a") if wait.kind == "event"] == ["Veto"]
    client.suspend("a")
    hub.settle()
    assert [wait.kind for wait in waits(client, "a")] == ["resume", "event", "timer", "activity", "child"]
    client.terminate("a", recursive=True)
    hub.settle()
    assert waits(client, "a") == ()


def test_it_is_known_of_an_instance_that_nobody_has_in_memory(hub: TestHub, client: dr.Client) -> None:
    client.start_new(child, instance_id="b", placement="dedicated")
    hub.settle()
    hub.crash()
    (wait,) = waits(client, "b")
    assert (wait.kind, wait.name, wait.since) == ("event", "Deep", START)


def test_an_event_that_is_no_longer_waited_for_is_not_told(hub: TestHub, client: dr.Client) -> None:
    client.start_new(everything, instance_id="a")
    hub.settle()
    hub.advance(timedelta(minutes=59))
    assert [wait.name for wait in waits(client, "a") if wait.kind == "event"] == ["Approval", "Veto"]
    hub.advance(timedelta(minutes=2))
    with pytest.raises(dr.OrchestrationFailed):
        client.wait_for_completion("a", timeout=5)
    assert waits(client, "a") == ()


def test_a_timeout_says_what_its_instance_waits_for(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(child, instance_id="c")
    hub.settle()
    said = r"'c' has not finished after 0.1 s; it is Running and waits for event 'Deep', since 2030-01-01 00:00:00Z\."
    with pytest.raises(TimeoutError, match=said):
        handle.wait_for_completion(timeout=0.1)
    with pytest.raises(TimeoutError, match=r"1 of 1 instances have not finished .* waits for event 'Deep'"):
        client.wait_many([handle], timeout=0.1)
    client.start_new(child, instance_id="later", start_at=START + timedelta(days=1))
    with pytest.raises(TimeoutError, match=r"has not started .* waits for timer 'start', due 2030-01-02 00:00:00Z"):
        client.wait_for_start("later", timeout=0.1)


def test_many_are_told_up_to_a_number(hub: TestHub, client: dr.Client) -> None:
    client.start_new(many, MOST_WAITS + 20, instance_id="m")
    hub.settle()
    found = waits(client, "m")
    assert len(found) == MOST_WAITS + 1
    assert (found[-1].kind, found[-1].detail) == ("more", "20 more")
