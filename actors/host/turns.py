"""One turn of one instance: receive -> advance -> settle -> the write that makes it durable. No waiting, no effects.

The boundary between the pure engine and the runtime: everything the engine needs is an argument, everything it decides is
in the result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct, json

from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.messages import Reply
from durable_ray.actors.store.hub_config import expiry
from durable_ray.actors.store.records import InboxMessage, NewInstance, Receipt, Status
from durable_ray.actors.store.writes import CommitTurn, Successor
from durable_ray.orchestrations.engine.commands import Decision, Raised
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event, encode_events
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.history.transition import Append, ChildStart, child_conflict, receive, settle
from durable_ray.orchestrations.values.failures import FailureDetails, NonDeterminismError
from durable_ray.orchestrations.values.times import turn_time

log = logging.getLogger("durable_ray.host")
_encode = json.Encoder().encode

#: Makes the row of a sub-orchestration; the runtime decides on its host and code.
NewChild = Callable[[ChildStart, int], NewInstance]


class Turn(Struct):
    """A computed turn, before its commit."""

    write: CommitTurn
    append: Append
    pending_messages: list[PendingMessage]
    successor: Snapshot | None


def started_event(active: ActiveInstance) -> ev.ExecutionStarted:
    """The first event of an instance that never had a turn."""
    row = active.row
    return ev.ExecutionStarted(
        row.name, row.execution_id, row.input, row.version, row.code_id, row.parent, row.generation
    )


def take_turn(
    active: ActiveInstance, definition_cache: DefinitionCache, now: int, new_child: NewChild, receipts_until: int
) -> Turn | None:
    """Compute the next turn, or None if no pending message changes anything."""
    pending_messages: list[PendingMessage] = []
    revision, old_status = definition_cache.revision, active.status
    settling = active.leftover is not None
    if active.leftover is not None:
        # What a new execution did on its first events is recorded before anything new is taken: replay meets events and
        # commands in the order of history.
        append, decision = Append(turn_time(active.snapshot.at, now)), active.leftover
        active.leftover, active.awaited = None, _awaited(decision)
    else:
        pending_messages, active.pending_messages = active.pending_messages, []
        append = receive(active.snapshot, _messages(active, pending_messages), now, definition_cache)
        decision = _advance(active, append) if append.events and not active.snapshot.finished else Decision()
    settle(active.snapshot, decision, append, definition_cache)
    if decision.custom_status is not None:
        active.custom_status = decision.custom_status
    if not (
        append.events or settling or any(pending.row is not None or pending.request_id for pending in pending_messages)
    ):
        for pending in pending_messages:
            pending.reply(answer_to(pending, append, active))
        return None
    return _turn(active, old_status, append, pending_messages, new_child, receipts_until, revision)


def failing_turn(
    active: ActiveInstance, now: int, failure: FailureDetails, definition_cache: DefinitionCache, new_child: NewChild
) -> Turn:
    """The turn that fails a quarantined instance, without running its code."""
    old_status = active.status
    first = [Message("", started_event(active))] if active.unstarted else []
    append = receive(active.snapshot, first, now, definition_cache)
    if not append.events:
        append.events.append(ev.TurnStarted(append.at))
        active.snapshot.apply(append.events[0])
    settle(active.snapshot, Decision(outcome=Raised(failure)), append, definition_cache)
    return _turn(active, old_status, append, [], new_child, 0, None)


def _messages(active: ActiveInstance, pending_messages: list[PendingMessage]) -> list[Message]:
    messages = [pending.message for pending in pending_messages]
    if not active.unstarted:
        return messages
    # A suspension of a Pending instance comes first, so that its code does not run before it is resumed.
    pauses = [m for m in messages if isinstance(m.event, ev.ExecutionSuspended | ev.ExecutionResumed)]
    others = [m for m in messages if not isinstance(m.event, ev.ExecutionSuspended | ev.ExecutionResumed)]
    return [*pauses, Message("", started_event(active)), *others]


def _advance(active: ActiveInstance, append: Append) -> Decision:
    assert active.execution is not None
    try:
        decision = active.execution.advance(append.events)
        active.awaited = _awaited(decision)
        return decision
    except NonDeterminismError as error:
        return Decision(outcome=Raised(FailureDetails.of(error)))
    except BaseException as error:  # no error of user code may reach the host's event loop
        log.exception("the engine failed on instance %r", active.instance_id)
        return Decision(outcome=Raised(FailureDetails.of(error)))


def _awaited(decision: Decision) -> str | None:
    return _encode(decision.awaited).decode() if decision.awaited else None


def answer_to(pending: PendingMessage, append: Append, active: ActiveInstance) -> Reply:
    """The reply to a message's sender once the turn is durable."""
    why = append.refused.get(pending.message.message_id)
    if why is None:
        return Reply("ok")
    if why == "finished":
        return Reply("finished", active.snapshot.status)
    return Reply("refused", why)


def _turn(
    active: ActiveInstance,
    old_status: Status,
    append: Append,
    pending_messages: list[PendingMessage],
    new_child: NewChild,
    receipts_until: int,
    revision: int | None,
) -> Turn:
    snapshot, row = active.snapshot, active.row
    successor = append.successor
    following = fold(row.instance_id, successor) if successor is not None else None
    finished = snapshot.finished
    status = snapshot.status
    failure = snapshot.failure
    write = CommitTurn(
        instance_id=row.instance_id,
        execution_id=snapshot.execution_id or row.execution_id,
        host=row.host,
        turn=active.turn,
        name=row.name,
        old_status=old_status,
        status=status,
        updated_at=append.at,
        body=encode_events(append.events) if append.events else "",
        first_event=snapshot.events - len(append.events),
        events=len(append.events),
        started_at=row.started_at or snapshot.started_at,
        completed_at=append.at if finished else None,
        # The next execution (continue-as-new) is due until its first turn is committed.
        next_due=None if finished else append.at if following else snapshot.next_due(),
        output=snapshot.output,
        custom_status=active.custom_status,
        failure=encode_event(ev.ExecutionFailed(failure)) if failure is not None else None,
        waiting_reason=None,
        consumed=tuple([pending.row for pending in pending_messages if pending.row is not None]),
        children=tuple([new_child(start, append.at) for start in append.children]),
        child_conflicts=tuple([_conflict(snapshot, start) for start in append.children]),
        messages=tuple([out_message(target, message) for target, message in append.messages]),
        receipts=_receipts(pending_messages, append, active, receipts_until),
        successor=_successor(successor, following) if successor is not None and following is not None else None,
        expires=expiry(row.settings, append.at) if finished else None,
        outstanding=0 if finished or following else len(snapshot.activities),
        awaited=None if finished or following else active.awaited,
        revision=revision,
    )
    return Turn(write, append, pending_messages, following)


def _conflict(snapshot: Snapshot, start: ChildStart) -> InboxMessage:
    return out_message(snapshot.instance_id, child_conflict(snapshot.execution_id, start))


def out_message(
    instance_id: str,
    message: Message,
    receipt: Receipt | None = None,
    unstarted: Status | None = None,
    created_at: int | None = None,
) -> InboxMessage:
    """A message as the inbox takes it."""
    body = encode_event(message.event)
    return InboxMessage(instance_id, message.message_id, body, message.execution_id, 0, receipt, unstarted, created_at)


def _receipts(
    pending_messages: list[PendingMessage], append: Append, active: ActiveInstance, until: int
) -> tuple[Receipt, ...]:
    return tuple(
        [
            Receipt(pending.request_id, receipt_text(answer_to(pending, append, active)), until)
            for pending in pending_messages
            if pending.request_id is not None
        ]
    )


def receipt_text(reply: Reply) -> str:
    """A reply as a receipt keeps it for a retry of its request."""
    return f"{reply.code} {reply.detail}".rstrip()


def receipt_reply(text: str) -> Reply:
    """The reply that a receipt keeps."""
    code, _, detail = text.partition(" ")
    return Reply(code, detail)  # type: ignore[arg-type]


def _successor(events: list[ev.Event], following: Snapshot) -> Successor:
    return Successor(
        following.execution_id,
        following.generation,
        following.input,
        encode_events(events),
        len(events),
        following.version,
        following.code_id,
    )
