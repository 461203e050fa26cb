"""S34 to S36: a rewind runs again what failed and nothing else, whatever the orchestrator is made of, and again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.orchestrations.history import events as ev
from durable_ray.testing import TestHub
from tests.management import shapes
from tests.management.shapes import BROKEN, dynasty, echo, family, fan_out, fragile, guardian, note, ran, steps, waiter


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say what is broken: `broken("2")`, `broken("*")`, `broken("")`."""
    return lambda what: monkeypatch.setenv(BROKEN, what)


def fails(handle: dr.OrchestrationHandle) -> dr.FailureDetails:
    with pytest.raises(dr.OrchestrationFailed) as caught:
        handle.wait_for_completion(20)
    return caught.value.details


@pytest.mark.parametrize("placement", ["dedicated", "shared"])
def test_s34_only_the_failed_activity_runs_again(client: dr.Client, broken: Any, placement: Any) -> None:
    broken("2")
    handle = client.start_new(steps, [1, 2, 3], placement=placement)
    fails(handle)
    assert ran() == ["begin", 1, 2]
    broken("")
    handle.rewind("2 was mended")
    assert handle.wait_for_completion(20) == [1, 2, 3]
    assert ran() == ["begin", 1, 2, 2, 3, "end"]


def test_s34_status_goes_back_to_running_and_history_keeps_what_was_rewound(client: dr.Client, broken: Any) -> None:
    @dr.orchestrator(name="rewound_then_waits")
    async def then_waits(ctx: dr.OrchestrationContext) -> Any:
        await ctx.call_activity(fragile, 1)
        return await ctx.wait_for_external_event("go")

    broken("1")
    handle = client.start_new(then_waits)
    fails(handle)
    broken("")
    client.rewind(handle.instance_id, "mended")
    handle.wait_for_start()
    handle.raise_event("go", "on")
    assert handle.wait_for_completion(20) == "on"
    kinds = [entry["EventType"] for entry in handle.get_history() or []]
    assert kinds[:4] == ["ExecutionStarted", "TaskFailed", "ExecutionCompleted", "ExecutionRewound"]
    assert sorted(kinds[4:6]) == ["EventRaised", "TaskCompleted"], "the event need not wait for the activity"
    assert kinds[6:] == ["ExecutionCompleted"]
    status = handle.get_status()
    assert status is not None
    assert (status.runtime_status, status.failure) == (dr.RuntimeStatus.COMPLETED, None)


def test_s34_failed_children_are_rewound_with_their_parents(client: dr.Client, broken: Any) -> None:
    broken("2")
    handle = client.start_new(dynasty, [1, 2], instance_id="d")
    fails(handle)
    broken("")
    handle.rewind()
    assert handle.wait_for_completion(20) == [1, 2]
    assert ran() == ["parent", "begin", 1, 2, 2, "end"]
    assert {s.runtime_status for s in client.list_instances()} == {dr.RuntimeStatus.COMPLETED}


def test_s34_twice_in_a_row(client: dr.Client, broken: Any) -> None:
    broken("*")
    handle = client.start_new(steps, [1, 2, 3])
    fails(handle)
    for still in ("1", "2,3", "3"):
        broken(still)
        handle.rewind(still)
        fails(handle)
    broken("")
    handle.rewind()
    assert handle.wait_for_completion(20) == [1, 2, 3]
    assert ran() == ["begin", 1, 1, 1, 2, 2, 3, 3, "end"]


def test_s34_all_of_several_failures_in_task_all(client: dr.Client, broken: Any) -> None:
    broken("1,3")
    handle = client.start_new(fan_out, [0, 1, 2, 3])
    fails(handle)
    broken("")
    handle.rewind()
    assert handle.wait_for_completion(20) == [0, 1, 2, 3]
    assert sorted(ran()) == [0, 1, 1, 2, 3, 3]


def test_s36_a_child_that_completed_meanwhile_answers(client: dr.Client, broken: Any) -> None:
    broken("2")
    handle = client.start_new(family, [2], instance_id="p")
    fails(handle)
    broken("")
    client.rewind("p-child")
    assert client.wait_for_completion("p-child", 20) == [2]
    handle.rewind()
    assert handle.wait_for_completion(20) == [2]
    assert ran() == ["parent", "begin", 2, 2, "end"]


def test_s36_a_child_that_was_purged_begins_anew(client: dr.Client, broken: Any) -> None:
    broken("2")
    handle = client.start_new(family, [2], instance_id="p")
    fails(handle)
    broken("")
    assert client.purge("p-child") == 1
    handle.rewind()
    assert handle.wait_for_completion(20) == [2]
    assert ran() == ["parent", "begin", 2, "begin", 2, "end"]


def test_s36_a_child_whose_id_was_taken_begins_when_it_is_free(client: dr.Client) -> None:
    client.start_new(waiter, instance_id="taken")
    handle = client.start_new(guardian, "taken")
    assert "already exists" in fails(handle).message
    handle.rewind("too early")
    fails(handle)
    client.terminate("taken")
    handle.rewind("free now")
    handle.wait_for_start()
    client.wait_for_start("taken")
    client.raise_event("taken", "go", 5)
    assert handle.wait_for_completion(20) == 5


def test_s36_timers_go_on(hub: TestHub, client: dr.Client, broken: Any) -> None:
    @dr.orchestrator(name="rewound_beside_a_timer")
    async def beside_a_timer(ctx: dr.OrchestrationContext) -> str:
        timer = ctx.create_timer(timedelta(hours=1))
        await ctx.call_activity(fragile, 1)
        await timer
        return ctx.current_utc_datetime.isoformat()

    broken("1")
    handle = client.start_new(beside_a_timer)
    fails(handle)
    broken("")
    handle.rewind()
    hub.settle()
    hub.advance(timedelta(hours=1))
    assert handle.wait_for_completion(20) == "2030-01-01T01:00:00+00:00"


def test_s36_retry_policies_and_handled_errors(hub: TestHub, client: dr.Client, broken: Any) -> None:
    policy = dr.RetryPolicy(first_retry_interval=timedelta(seconds=5), max_number_of_attempts=3)

    @dr.orchestrator(name="rewound_with_retries")
    async def retrying(ctx: dr.OrchestrationContext) -> list[Any]:
        found = []
        try:
            await ctx.call_activity(fragile, "handled")
        except dr.ActivityFailed:
            found.append("went on")
        found.append(await ctx.call_activity(fragile, "fatal", retry_policy=policy))
        return found

    broken("handled,fatal")
    handle = client.start_new(retrying)
    hub.settle()
    hub.advance(timedelta(minutes=1))
    fails(handle)
    assert ran() == ["handled", "fatal", "fatal", "fatal"]
    broken("")
    handle.rewind()
    assert handle.wait_for_completion(20) == ["went on", "fatal"]
    assert ran() == ["handled", "fatal", "fatal", "fatal", "fatal"]


def test_s36_a_terminated_instance_goes_on_where_it_was(hub: TestHub, client: dr.Client) -> None:
    @dr.orchestrator(name="rewound_after_termination")
    async def long(ctx: dr.OrchestrationContext) -> list[Any]:
        first = await ctx.call_activity(note, 1)
        await asyncio.sleep(3600)
        return [first, await ctx.call_activity(note, 2)]

    handle = client.start_new(long)
    hub.settle()
    handle.terminate("by mistake")
    with pytest.raises(dr.OrchestrationTerminated):
        handle.wait_for_completion(20)
    handle.rewind("sorry")
    hub.settle()
    hub.advance(timedelta(hours=1))
    assert handle.wait_for_completion(20) == [1, 2]
    assert ran() == [1, 2]


def test_s36_one_that_was_terminated_before_it_began(client: dr.Client) -> None:
    handle = client.start_new(echo, "x", start_at=timedelta(days=1))
    handle.terminate()
    handle.rewind()
    assert handle.wait_for_completion(20) == "x"


def test_s36_children_that_were_terminated_with_it(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(guardian, "kid")
    hub.settle()
    handle.terminate("all", recursive=True)
    hub.settle()
    assert str(client.get_status("kid").runtime_status) == "Terminated"  # type: ignore[union-attr]
    handle.rewind()
    hub.settle()
    client.raise_event("kid", "go", "home")
    assert handle.wait_for_completion(20) == "home"


@pytest.mark.parametrize("state", ["Completed", "Running", "absent"])
def test_s34_what_cannot_be_rewound_is_a_typed_error(hub: TestHub, client: dr.Client, state: str) -> None:
    if state == "absent":
        with pytest.raises(dr.InstanceNotFound):
            client.rewind("nobody")
        return
    handle = client.start_new(echo if state == "Completed" else waiter)
    hub.settle()
    with pytest.raises(dr.InvalidState, match=state.lower() if state == "Completed" else state):
        handle.rewind()


def test_s34_a_crash_after_the_rewind_loses_nothing(hub: TestHub, client: dr.Client, broken: Any) -> None:
    broken("2")
    handle = client.start_new(family, [1, 2], placement="shared")
    fails(handle)
    broken("")
    handle.rewind()
    hub.crash()
    assert handle.wait_for_completion(20) == [1, 2]


def test_s34_of_racing_rewinds_one_wins(client: dr.Client, hub: TestHub, broken: Any) -> None:
    broken("2")
    handle = client.start_new(family, [1, 2])
    fails(handle)
    broken("")

    async def race() -> list[Any]:
        rewinds = [hub.async_client.rewind(handle.instance_id) for _ in range(8)]
        return await asyncio.gather(*rewinds, return_exceptions=True)

    outcomes = asyncio.run(race())
    assert outcomes.count(None) == 1
    assert all(isinstance(outcome, dr.InvalidState) for outcome in outcomes if outcome is not None)
    assert handle.wait_for_completion(20) == [1, 2]
    assert ran() == ["parent", "begin", 1, 2, 2, "end"]


def test_s34_typed_history_says_what_was_rewound(client: dr.Client, broken: Any) -> None:
    broken("2")
    handle = client.start_new(steps, [2])
    fails(handle)
    broken("")
    handle.rewind("why")
    handle.wait_for_completion(20)
    status = handle.get_status(show_history=True)
    assert status is not None
    (rewound,) = [e for e in status.history or () if isinstance(e, ev.ExecutionRewound)]
    assert (rewound.reason, len(rewound.task_ids)) == ("why", 1)
    assert shapes.ran() == ["begin", 2, 2, "end"]
