"""One turn of one instance: receive -> advance -> settle -> the write that makes it durable. No waiting, no effects.

This is the seam between the pure engine and the machinery around it: everything the engine needs is an argument, and
everything it wants is in the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct

from durable_ray.actors.code.definition_cache import Library
from durable_ray.actors.instances.active_instance import Letter, Live
from durable_ray.actors.messages import Reply
from durable_ray.actors.store.records import NewInstance
from durable_ray.actors.store.retention import expiry
from durable_ray.actors.store.writes import CommitTurn, OutMessage, Receipt, Successor
from durable_ray.orchestrations.engine.commands import Decision, Raised
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event, encode_events
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.history.transition import Append, ChildStart, child_conflict, receive, settle
from durable_ray.orchestrations.values.failures import FailureDetails, NonDeterminismError
from durable_ray.orchestrations.values.times import turn_time

log = logging.getLogger("durable_ray.host")

#: Makes the row of a sub-orchestration: where it lives and on which code is the runtime's business.
Birth = Callable[[ChildStart, int], NewInstance]


class Turn(Struct):
    """A turn that was computed and waits for its commit."""

    write: CommitTurn
    append: Append
    letters: list[Letter]
    successor: Snapshot | None


def started_event(live: Live) -> ev.ExecutionStarted:
    """The first event of an instance that never had a turn."""
    row = live.row
    return ev.ExecutionStarted(
        row.name, row.execution_id, row.input, row.version, row.code_id, row.parent, row.generation
    )


def take_turn(live: Live, library: Library, now: int, birth: Birth, receipts_until: int) -> Turn | None:
    """Compute the next turn, or None if nothing that waits changes anything."""
    letters: list[Letter] = []
    revision = library.revision
    settling = live.leftover is not None
    if live.leftover is not None:
        # What a fresh execution did on its first events is recorded before anything new is taken, or replay, which
        # meets events and commands in the order of history, would not find them together.
        append, decision = Append(turn_time(live.snapshot.at, now)), live.leftover
        live.leftover = None
    else:
        letters, live.letters = live.letters, []
        append = receive(live.snapshot, _messages(live, letters), now, library)
        decision = _advance(live, append) if append.events and not live.snapshot.finished else Decision()
    settle(live.snapshot, decision, append, library)
    if decision.custom_status is not None:
        live.custom_status = decision.custom_status
    if not (append.events or settling or any(letter.row is not None or letter.request_id for letter in letters)):
        for letter in letters:
            letter.reply(answer_to(letter, append, live))
        return None
    return _turn(live, append, letters, birth, receipts_until, revision)


def set_aside(live: Live, now: int, failure: FailureDetails, library: Library, birth: Birth) -> Turn:
    """The turn that fails an instance from outside, whatever its code would do."""
    first = [Message("", started_event(live))] if live.unstarted else []
    append = receive(live.snapshot, first, now, library)
    if not append.events:
        append.events.append(ev.TurnStarted(append.at))
        live.snapshot.apply(append.events[0])
    settle(live.snapshot, Decision(outcome=Raised(failure)), append, library)
    return _turn(live, append, [], birth, 0, None)


def _messages(live: Live, letters: list[Letter]) -> list[Message]:
    messages = [letter.message for letter in letters]
    if not live.unstarted:
        return messages
    # Suspended while Pending: that comes first, so that the code takes no step before it is resumed.
    pauses = [m for m in messages if isinstance(m.event, ev.ExecutionSuspended | ev.ExecutionResumed)]
    others = [m for m in messages if not isinstance(m.event, ev.ExecutionSuspended | ev.ExecutionResumed)]
    return [*pauses, Message("", started_event(live)), *others]


def _advance(live: Live, append: Append) -> Decision:
    assert live.execution is not None
    try:
        return live.execution.advance(append.events)
    except NonDeterminismError as error:
        return Decision(outcome=Raised(FailureDetails.of(error)))
    except BaseException as error:  # nothing that user code raises may reach the host's loop
        log.exception("the engine failed on instance %r", live.instance_id)
        return Decision(outcome=Raised(FailureDetails.of(error)))


def answer_to(letter: Letter, append: Append, live: Live) -> Reply:
    """What a letter's sender is told once the turn is durable."""
    why = append.refused.get(letter.message.message_id)
    if why is None:
        return Reply("ok")
    if why == "finished":
        return Reply("finished", live.snapshot.status)
    return Reply("refused", why)


def _turn(
    live: Live, append: Append, letters: list[Letter], birth: Birth, receipts_until: int, revision: int | None
) -> Turn:
    snapshot, row = live.snapshot, live.row
    successor = append.successor
    following = fold(row.instance_id, successor) if successor is not None else None
    finished = snapshot.finished
    status = snapshot.status
    failure = snapshot.failure
    write = CommitTurn(
        instance_id=row.instance_id,
        execution_id=snapshot.execution_id or row.execution_id,
        host=row.host,
        turn=live.turn,
        name=row.name,
        old_status=live.status,
        status=status,
        updated_at=append.at,
        body=encode_events(append.events) if append.events else "",
        first_event=snapshot.events - len(append.events),
        events=len(append.events),
        started_at=row.started_at or snapshot.started_at,
        completed_at=append.at if finished else None,
        # What follows by continue-as-new has its first step before it: until that is made, it is due.
        next_due=None if finished else append.at if following else snapshot.next_due(),
        output=snapshot.output,
        custom_status=live.custom_status,
        failure=encode_event(ev.ExecutionFailed(failure)) if failure is not None else None,
        waiting_reason=None,
        consumed=tuple([letter.row for letter in letters if letter.row is not None]),
        children=tuple([birth(start, append.at) for start in append.children]),
        child_conflicts=tuple([_conflict(snapshot, start) for start in append.children]),
        messages=tuple([out_message(target, message) for target, message in append.messages]),
        receipts=_receipts(letters, append, live, receipts_until),
        successor=_successor(successor, following) if successor is not None and following is not None else None,
        expires=expiry(row.settings, append.at) if finished else None,
        outstanding=0 if finished or following else len(snapshot.activities),
        revision=revision,
    )
    return Turn(write, append, letters, following)


def _conflict(snapshot: Snapshot, start: ChildStart) -> OutMessage:
    return out_message(snapshot.instance_id, child_conflict(snapshot.execution_id, start))


def out_message(instance_id: str, message: Message) -> OutMessage:
    """A message as the store carries it."""
    return OutMessage(instance_id, message.message_id, encode_event(message.event), message.execution_id)


def _receipts(letters: list[Letter], append: Append, live: Live, until: int) -> tuple[Receipt, ...]:
    return tuple(
        [
            Receipt(letter.request_id, receipt_text(answer_to(letter, append, live)), until)
            for letter in letters
            if letter.request_id is not None
        ]
    )


def receipt_text(reply: Reply) -> str:
    """A reply as it is remembered for a retry of its request."""
    return f"{reply.code} {reply.detail}".rstrip()


def receipt_reply(text: str) -> Reply:
    """The reply that `receipt_text` remembered."""
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
