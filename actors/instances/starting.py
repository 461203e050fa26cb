"""Starting instances, the same for partitions and for the registry: make the row, commit it, reply."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from durable_ray.actors.clock import SECOND
from durable_ray.actors.code.deployments import Deployments
from durable_ray.actors.host.turns import out_message, receipt_reply, receipt_text
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.messages import Delivery, Reply, StartRequest
from durable_ray.actors.store.background import Blocking
from durable_ray.actors.store.contract import ReadStore
from durable_ray.actors.store.hub_config import expiry
from durable_ray.actors.store.records import InboxMessage, InstanceRow, NewInstance, Receipt, Status
from durable_ray.actors.store.writes import (
    Answer,
    Exists,
    FinishUnstarted,
    Outdated,
    Refused,
    Repeated,
    Stale,
    Started,
    StartInstance,
    Write,
)
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_event, encode_events
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.history.transition import tell_parent


def finish_pending(
    row: InstanceRow, inbox: Iterable[InboxMessage], request: ev.TerminateRequested, now: int
) -> FinishUnstarted:
    """End an instance before its first turn.

    Its history is that of one that was terminated in its first turn, with the events that waited for it, so that it can
    be rewound like any other.
    """
    started = ev.ExecutionStarted(
        row.name, row.execution_id, row.input, row.version, row.code_id, row.parent, row.generation
    )
    ending = ev.ExecutionTerminated(request.reason)
    waiting = [event for message in inbox if isinstance(event := decode_event(message.body), ev.EventRaised)]
    events: list[ev.Event] = [ev.TurnStarted(now), started, *waiting, ending]
    message = None
    if row.parent is not None:
        report = tell_parent(row.instance_id, row.execution_id, row.parent, ending)
        message = out_message(row.parent.instance_id, report)
    return FinishUnstarted(
        instance_id=row.instance_id,
        execution_id=row.execution_id,
        status="Terminated",
        at=now,
        body=encode_events(events),
        events=len(events),
        output=request.reason,
        message=message,
        expires=expiry(row.settings, now),
        name=row.name,
    )


async def pausing(store: ReadStore, blocking: Blocking, row: InstanceRow, event: ev.Event) -> Reply | None:
    """The refusal of a suspension (or resumption) of an instance that is not in memory; None: put it into its inbox."""
    if not isinstance(event, ev.ExecutionSuspended | ev.ExecutionResumed):
        return None
    return pause_refused(row, await blocking(lambda: store.inbox([row.instance_id])), event)


def pause_refused(row: InstanceRow, inbox: Iterable[InboxMessage], event: ev.Event) -> Reply | None:
    """The refusal of a suspension (or resumption) of an instance with this inbox, if any."""
    wanted = isinstance(event, ev.ExecutionSuspended)
    if paused_by(inbox, row.status == "Suspended") == wanted:
        return Reply("refused", "already suspended" if wanted else "not suspended")
    return None


def stored_delivery(delivery: Delivery, receipt: Receipt) -> InboxMessage:
    """What a client delivers, for the inbox of an instance that does not take it from memory."""
    unstarted = _status_by(delivery.message.event)
    return out_message(delivery.instance_id, delivery.message, receipt, unstarted, delivery.created_at)


def _status_by(event: ev.Event) -> Status | None:
    """The status of an unstarted instance with this event in its inbox; None: unchanged.

    The inbox is not read before the first turn, so the row has to say that it is suspended.
    """
    if isinstance(event, ev.ExecutionSuspended):
        return "Suspended"
    return "Pending" if isinstance(event, ev.ExecutionResumed) else None


def paused_by(inbox: Iterable[InboxMessage], paused: bool) -> bool:
    """Whether an instance is suspended after it has taken the messages of its inbox."""
    for row in inbox:
        event = decode_event(row.body)
        if isinstance(event, ev.ExecutionSuspended | ev.ExecutionResumed):
            paused = isinstance(event, ev.ExecutionSuspended)
    return paused


#: The reason of a termination by "terminate_existing".
_REPLACED = '"replaced by a new start of the same ID"'


class Start(Struct):
    """One start request: its row (None if no such orchestrator is deployed) and its reply."""

    request: StartRequest
    new: NewInstance | None
    reply: Reply | None = None
    replaced: InstanceRow | None = None
    #: The running sub-orchestration that it replaces ("terminate_existing"), as it was last read.
    rival: InstanceRow | None = None
    #: That of the definitions by which its row was made.
    revision: int | None = None
    #: Newer ones are deployed.
    outdated: bool = False


Commit = Callable[[Sequence[Write]], Awaitable[Sequence[Answer]]]
ReadRows = Callable[[Sequence[str]], Awaitable[Mapping[str, InstanceRow]]]
Again = Callable[[Sequence[Start]], Awaitable[None]]


async def begin(
    starts: Sequence[Start], now: int, receipt_seconds: float, commit: Commit, rows: ReadRows, again: Again
) -> list[tuple[str, str]]:
    """Commit until each start has its reply; returns (host, instance) of parents whose child was replaced.

    `again` makes rows anew, by the definitions that are deployed now, where they were made by older ones.
    """
    while True:
        if outdated := [start for start in starts if start.outdated]:
            await again(outdated)
        if not (writes := start_writes(starts, now, receipt_seconds)):
            break
        take_answers(starts, await commit(writes))
        # A running sub-orchestration is replaced only together with a message to its parent, for which it has to be read.
        stale = [s for s in starts if s.new is not None and s.reply is None and not s.outdated]
        if stale:
            found = await rows([start.request.start_options.instance_id for start in stale])
            for start in stale:
                start.rival = found.get(start.request.start_options.instance_id)
    if instance_log.log.isEnabledFor(logging.DEBUG):
        for start in starts:
            if start.new is not None and start.reply is not None and start.reply.code == "ok":
                new = start.new
                instance_log.trace("start accepted", new.instance_id, new.execution_id, host=new.host)
    parents_of_replaced = [
        s.replaced.parent.instance_id for s in starts if s.replaced and not s.replaced.finished and s.replaced.parent
    ]
    found = await rows(parents_of_replaced) if parents_of_replaced else {}
    return [(row.host, row.instance_id) for row in found.values() if not row.finished]


async def new_starts(
    requests: Sequence[StartRequest], instance_factory: InstanceFactory, deployments: Deployments, now: int
) -> list[Start]:
    """The starts with their rows. Definitions are read from the store again before one is answered "unknown"."""
    await deployments.current(max((request.revision for request in requests), default=0))
    starts = new_instance(requests, instance_factory, now)
    if any(start.new is None for start in starts):
        await deployments.refresh()
        starts = new_instance(requests, instance_factory, now)
    return starts


def new_instance(requests: Sequence[StartRequest], instance_factory: InstanceFactory, now: int) -> list[Start]:
    """The starts with their rows, by the definitions that are cached."""
    starts = [Start(request, None) for request in requests]
    make_rows(starts, instance_factory, now)
    return starts


def make_rows(starts: Sequence[Start], instance_factory: InstanceFactory, now: int) -> None:
    """Make the rows of these starts by the definitions that are cached now."""
    for start in starts:
        start.outdated = False
        start.revision = instance_factory.revision
        start.new = instance_factory.new_instance(start.request.start_options, now)
        if start.new is None:
            start.reply = Reply("unknown", instance_factory.missing(start.request.start_options))


def start_writes(starts: Sequence[Start], now: int, receipt_seconds: float) -> list[Write]:
    """The writes for all that have a row and no reply yet: one each, or two with a signal."""
    until = now + int(receipt_seconds * SECOND)
    writes: list[Write] = []
    for start in starts:
        if start.new is None or start.reply is not None:
            continue
        receipt = Receipt(start.request.request_id, receipt_text(Reply("ok")), until)
        rival = start.rival
        message, replaces = (replaced_message(rival), rival.execution_id) if rival is not None else (None, None)
        writes.append(StartInstance(start.new, start.request.if_exists, receipt, message, replaces, start.revision))
        if start.request.signal is not None:
            signalled = Receipt(f"{start.request.request_id}/signal", receipt_text(Reply("ok")), until)
            writes.append(out_message(start.new.instance_id, start.request.signal, signalled))
    return writes


def take_answers(starts: Sequence[Start], answers: Sequence[Answer]) -> None:
    """Set the reply of each start by the answers to `start_writes`; one that is to be retried has none."""
    remaining = iter(answers)
    for start in starts:
        if start.new is None or start.reply is not None:
            continue
        answer = next(remaining)
        if start.request.signal is not None:
            next(remaining)
        start.outdated = isinstance(answer, Outdated)
        start.reply = _reply(start, answer)


def _reply(start: Start, answer: Answer) -> Reply | None:
    assert start.new is not None
    match answer:
        case Started():
            start.replaced = answer.replaced
            if answer.replaced is not None and not answer.replaced.finished:
                instance_log.terminated(answer.replaced.instance_id, _REPLACED)
            return Reply("ok", host=start.new.host, placement=start.new.placement)
        case Repeated():
            # An earlier attempt was committed first.
            return receipt_reply(answer.outcome)
        case Exists(row=row):
            return Reply("exists", row.status, row, row.host, row.placement)
        case Refused():
            return Reply("refused", answer.reason)
        case Stale() | Outdated():
            return None
        case _:
            raise TypeError(f"a start was answered by {answer!r}")


def replaced_message(row: InstanceRow) -> InboxMessage | None:
    """The message to the parent of a running sub-orchestration that "terminate_existing" replaces."""
    if row.finished or row.parent is None:
        return None
    ending = ev.ExecutionTerminated(_REPLACED)
    message: Message = tell_parent(row.instance_id, row.execution_id, row.parent, ending)
    return out_message(row.parent.instance_id, message)
