"""Doubles of activities run in the test's process; a hub settles; histories read as lines, and replay or say why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest

import durable_ray as dr
from durable_ray.actors.instances.audit.exporting import exported
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.authoring.options import OrchestratorOptions
from durable_ray.testing import ReplayFailed, TestHub, history_lines, replay


@dataclass
class Letter:
    to: str


@dr.activity(retry_policy=dr.RetryPolicy(max_number_of_attempts=2, first_retry_interval=60))
def doubled_post(letter: Letter) -> str:
    raise RuntimeError("a test must not send letters")


@dr.activity
def doubled_pay(context: dr.ActivityContext, customer: str, amount: int = 1) -> int:
    raise RuntimeError("a test must not pay")


@dr.orchestrator
async def doubled_order(ctx: dr.OrchestrationContext, customer: str) -> str:
    paid = await ctx.call(doubled_pay, customer, amount=12)
    await ctx.create_timer(timedelta(days=3))
    answer = await ctx.wait_for_external_event("Approval")
    return f"{await ctx.call_activity(doubled_post, Letter(customer))} {paid} {answer}"


@dr.orchestrator
async def doubled_pulse(ctx: dr.OrchestrationContext) -> None:
    await ctx.create_timer(timedelta(minutes=1))
    ctx.continue_as_new(None)


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub() as hub:
        yield hub


def test_a_fake_that_appends_to_a_list_of_the_test_is_seen(hub: TestHub) -> None:
    sent: list[Letter] = []
    pay = hub.fake(doubled_pay, lambda context, customer, amount: amount + len(context.instance_id))
    hub.fake(doubled_post, sent.append)
    handle = hub.client.start_new(doubled_order, "ada", instance_id="o-1")
    hub.settle()
    handle.raise_event("Approval", "yes")
    assert handle.wait_for_completion(10) == "None 15 yes"
    assert sent == [Letter("ada")]  # of the activity's type
    assert pay.calls == [mock.call("ada", 12)]
    assert repr(pay) == "<double of activity 'doubled_pay', called 1 times>"


def test_a_fake_is_replaced_by_the_next_and_retries_are_those_of_the_activity(hub: TestHub) -> None:
    hub.fake(doubled_pay, raises=RuntimeError("never"))
    hub.fake(doubled_pay, returns=3)
    post = mock.Mock(side_effect=[ConnectionError("busy"), "posted"])
    hub.fake(doubled_post, post)
    handle = hub.client.start_new(doubled_order, "ada")
    hub.settle()
    handle.raise_event("Approval")
    assert handle.wait_for_completion(10) == "posted 3 None"
    assert post.call_args_list == [mock.call(Letter("ada"))] * 2


async def test_a_fake_may_be_async_and_serves_both_clients(hub: TestHub) -> None:
    async def pay(context: dr.ActivityContext, customer: str, amount: int) -> int:
        return amount * 2

    hub.fake(doubled_pay, pay)
    hub.fake(doubled_post, raises=ValueError("no stamps"))
    handle = await hub.async_client.start_new(doubled_order, "ada")
    hub.settle()
    await handle.raise_event("Approval")
    with pytest.raises(dr.OrchestrationFailed, match="no stamps") as failed:
        await handle
    assert failed.value.is_caused_by(ValueError)
    lines = history_lines(await handle.get_status(show_history=True, show_history_output=True))
    assert "activity doubled_pay returned 24" in lines


def test_what_is_no_double_is_refused(hub: TestHub) -> None:
    with pytest.raises(TypeError, match="no activity"):
        hub.fake(doubled_order, returns=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="one thing"):
        hub.fake(doubled_pay, print, returns=1)
    with pytest.raises(TypeError, match="returns="):
        hub.fake(doubled_pay, 3)  # type: ignore[arg-type]


def test_a_hub_settles_when_all_have_ended_or_wait_for_events(hub: TestHub) -> None:
    hub.fake(doubled_pay, returns=3)
    handle = hub.client.start_new(doubled_order, "ada", instance_id="o-1")
    hub.settle()
    assert handle.get_status().runtime_status == "Running"
    assert hub.now >= handle.get_status().created_time + timedelta(days=3)
    assert history_lines(handle)[-1] == "timer fired"
    with TestHub(auto_advance=False) as patient:
        patient.fake(doubled_pay, returns=3)
        waiting = patient.client.start_new(doubled_order, "ada")
        patient.settle()
        assert patient.now == waiting.get_status().created_time
        assert history_lines(waiting)[-1] == "timer of 3 days, 0:00:00"


def test_a_hub_that_cannot_settle_says_why(hub: TestHub) -> None:
    hub.client.start_new(doubled_pulse)
    with pytest.raises(TimeoutError, match="sleeps again and again"):
        hub.settle(timeout=0.3)


def done(hub: TestHub) -> dr.OrchestrationHandle[str]:
    hub.fake(doubled_pay, returns=3)
    hub.fake(doubled_post, mock.Mock(side_effect=[ValueError("busy"), "posted"]))
    handle = hub.client.start_new(doubled_order, "ada", instance_id="o-1")
    hub.settle()
    handle.raise_event("Approval", "yes")
    handle.wait_for_completion(10)
    return handle


def test_a_history_reads_as_lines(hub: TestHub) -> None:
    assert history_lines(done(hub)) == [
        "started doubled_order('ada')",
        "activity doubled_pay(customer='ada', amount=12)",
        "activity doubled_pay returned 3",
        "timer of 3 days, 0:00:00",
        "timer fired",
        "event Approval('yes')",
        "activity doubled_post({'to': 'ada'})",
        "activity doubled_post attempt 1 failed: ValueError: busy",
        "activity doubled_post returned 'posted'",
        "completed: 'posted 3 yes'",
    ]


async def order_changed(ctx: dr.OrchestrationContext, customer: str) -> str:
    await ctx.create_timer(timedelta(days=3))
    return await ctx.call_activity(doubled_post, Letter(customer))


doubled_order_changed = Orchestrator(order_changed, OrchestratorOptions("doubled_order"))


def test_replay_fails_with_the_sentence_of_the_mismatch(hub: TestHub, tmp_path: Path) -> None:
    handle = done(hub)
    status = handle.get_status(show_history=True, show_history_output=True)
    (kept,) = exported(hub.store, ["o-1"])
    file = tmp_path / "histories.jsonl"
    file.write_text(kept.to_json() + "\n")
    for history in (handle, status, status.history, kept, file, str(file)):
        replay(history, doubled_order)
        with pytest.raises(ReplayFailed, match=re.escape("event #")) as failed:
            replay(history, doubled_order_changed)
        assert "doubled_pay" in str(failed.value)


def test_what_has_no_history_is_refused(hub: TestHub, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no instance 'nobody'"):
        replay(hub.client.get_handle("nobody"), doubled_order)
    handle = hub.client.start_new(doubled_pulse, instance_id="pulse")
    with pytest.raises(LookupError, match="show_history=True"):
        history_lines(handle.get_status())
    with pytest.raises(TypeError, match="awaited"):
        replay(hub.async_client.get_handle("pulse"), doubled_pulse)
    hub.on_loop(hub.settled()).result(10)
    with pytest.raises(TypeError, match="no event"):
        replay(handle.get_history(), doubled_pulse)
    with pytest.raises(TypeError, match="not an orchestrator"):
        replay(handle, doubled_pay)  # type: ignore[arg-type]
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(LookupError, match="no history of orchestrator 'doubled_pulse'"):
        replay(empty, doubled_pulse)
