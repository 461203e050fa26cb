"""One turn: what is received, what the code wants, and the one write that makes both durable; who is answered what."""

from __future__ import annotations

import asyncio
from typing import Any

import durable_ray as dr
from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.host.turns import Turn, answer_to, failing_turn, receipt_reply, receipt_text, take_turn
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.messages import Reply
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.records import NewInstance
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_events
from durable_ray.orchestrations.history.events import Event, Message, ParentAddress
from durable_ray.orchestrations.history.snapshot import fold
from durable_ray.orchestrations.values.failures import FailureDetails
from tests.unit.actors.hosting import double, new_library


@dr.orchestrator(name="unit.turn")
async def body(ctx: dr.OrchestrationContext, times: int) -> int:
    total = 0
    for _ in range(times):
        total += await ctx.call_activity(double, await ctx.wait_for_external_event("e"))
    return total


LIBRARY = new_library(body, double)
NURSERY = InstanceFactory(LIBRARY, HubSettings(partitions=1).settled())


def active(times: int = 1, parent: ParentAddress | None = None) -> ActiveInstance:
    row = InstanceFactory.row(NewInstance("i", "e1", "unit.turn", "h", "shared", 50, input=str(times), parent=parent))
    one = ActiveInstance(row, fold("i", ()))
    one.execution = Execution("i", body, PYTHON_PAYLOADS)
    return one


def turn(
    one: ActiveInstance, *events: Event, row: int | None = None, request: str | None = None, now: int = 100
) -> Turn | None:
    for number, event in enumerate(events):
        one.pending_messages.append(PendingMessage(Message(f"m{number}", event), row, asyncio.Future(), request))
    taken = take_turn(one, LIBRARY, now, NURSERY.new_child, 777)
    if taken is not None:
        one.turn += 1
    return taken


def taken(found: Turn | None) -> Turn:
    assert found is not None
    return found


def kinds(found: Turn | None) -> list[str]:
    return [type(event).__name__ for event in decode_events(taken(found).write.body)]


async def test_the_first_turn_begins_the_history() -> None:
    one = active()
    first = taken(turn(one))
    assert kinds(first) == ["TurnStarted", "ExecutionStarted"]
    write = first.write
    assert (write.turn, write.old_status, write.status, write.first_event, write.events) == (
        0,
        "Pending",
        "Running",
        0,
        2,
    )
    assert (write.started_at, write.completed_at, write.next_due, write.outstanding) == (100, None, None, 0)


async def test_what_changes_nothing_is_no_turn_and_its_sender_is_told() -> None:
    one = active()
    turn(one)
    assert turn(one) is None
    assert turn(one, ev.ExecutionResumed()) is None
    assert one.pending_messages == []


async def test_a_refusal_that_was_asked_for_by_request_is_remembered() -> None:
    one = active()
    turn(one)
    refused = taken(turn(one, ev.ExecutionResumed(), request="r1"))
    assert [(receipt.request_id, receipt.outcome, receipt.expires) for receipt in refused.write.receipts] == [
        ("r1", "refused not suspended", 777)
    ]
    assert refused.write.body == ""


async def test_mail_is_consumed_by_the_turn_that_takes_it() -> None:
    one = active()
    turn(one)
    second = taken(turn(one, ev.EventRaised("e", "4"), row=17))
    assert second.write.consumed == (17,)
    assert kinds(second) == ["TurnStarted", "EventRaised", "ActivityScheduled"]
    assert (second.append.dispatch, second.write.outstanding, second.write.first_event) == ([1], 1, 2)


async def test_the_last_turn_finishes_the_row_and_tells_the_parent() -> None:
    one = active(parent=ParentAddress("p", "pe", 3))
    turn(one, ev.EventRaised("e", "4"))
    done = taken(turn(one, ev.ActivityCompleted(1, "8"), now=300))
    write = done.write
    assert (write.status, write.output, write.completed_at, write.next_due, write.outstanding) == (
        "Completed",
        "8",
        300,
        None,
        0,
    )
    assert [message.instance_id for message in write.messages] == ["p"]


async def test_what_came_too_late_is_answered_so() -> None:
    one = active()
    turn(one)
    end, late = (
        PendingMessage(Message("a", ev.TerminateRequested('"x"')), None, asyncio.Future(), "r1"),
        PendingMessage(Message("b", ev.EventRaised("e")), None, asyncio.Future(), "r2"),
    )
    one.pending_messages += [end, late]
    ending = taken(turn(one))
    assert answer_to(end, ending.append, one) == Reply("ok")
    assert answer_to(late, ending.append, one) == Reply("finished", "Terminated")


async def test_paused_before_it_began_it_takes_no_step() -> None:
    one = active(0)
    assert kinds(turn(one, ev.EventRaised("e", "1"), ev.ExecutionSuspended())) == [
        "TurnStarted",
        "ExecutionSuspended",
        "ExecutionStarted",
        "EventRaised",
    ]
    assert one.status == "Suspended"
    assert kinds(turn(one, ev.ExecutionResumed()))[-1] == "ExecutionCompleted"


async def test_one_that_is_set_aside_fails_whatever_its_code_would_do() -> None:
    for one in (active(), active(parent=ParentAddress("p", "pe", 3))):
        failed = failing_turn(one, 500, FailureDetails("durable_ray.Poisoned", "enough"), LIBRARY, NURSERY.new_child)
        assert kinds(failed) == ["TurnStarted", "ExecutionStarted", "ExecutionFailed"]
        assert failed.write.status == "Failed"
        assert len(failed.write.messages) == (one.row.parent is not None)


def test_receipts_say_what_was_said() -> None:
    for reply in (Reply("ok"), Reply("refused", "not suspended"), Reply("finished", "Completed")):
        assert receipt_reply(receipt_text(reply)) == reply


async def test_an_engine_that_fails_fails_its_instance(caplog: Any) -> None:
    one = active()

    class Broken:
        def advance(self, events: object) -> None:
            raise RuntimeError("a bug")

    one.execution = Broken()  # type: ignore[assignment]
    failed = taken(turn(one))
    assert failed.write.status == "Failed"
    assert "a bug" in (failed.write.failure or "")


@dr.orchestrator(name="unit.again")
async def again(ctx: dr.OrchestrationContext, number: int) -> None:
    await ctx.wait_for_external_event("e")
    ctx.continue_as_new(number + 1)


async def test_a_suspension_in_the_turn_that_continues_as_new_holds_for_the_next_execution() -> None:
    one = active()
    one.execution = Execution("i", again, PYTHON_PAYLOADS)
    turn(one)
    found = taken(turn(one, ev.EventRaised("e", "1"), ev.ExecutionSuspended("for a while")))
    write = found.write
    assert write.successor is not None
    history = decode_events(write.successor.body)
    assert fold("i", history).status == write.status == "Suspended", "or the stored history contradicts its row"
    following = Execution("i", again, PYTHON_PAYLOADS)
    following.advance(history, replaying=True)
    assert not following.advance([ev.EventRaised("e", "2")]).outcome, "it runs when it is resumed"
    assert following.advance([ev.ExecutionResumed()]).outcome
