"""Requests to instances that have no process and need none: terminate, suspend or resume before the first turn."""

from __future__ import annotations

from collections.abc import Iterable

from durable_ray.actors.host.turns import out_message
from durable_ray.actors.messages import Delivery, Reply
from durable_ray.actors.store.background import Blocking
from durable_ray.actors.store.contract import ReadStore
from durable_ray.actors.store.hub_config import expiry
from durable_ray.actors.store.records import InboxMessage, InstanceRow, Receipt, Status
from durable_ray.actors.store.writes import FinishUnstarted
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_event, encode_events
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
