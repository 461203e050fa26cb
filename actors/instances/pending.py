"""Instances without a process: what can be done to them, and refused to them, without giving them one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from durable_ray.actors.host.turns import out_message
from durable_ray.actors.messages import Reply
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import expiry
from durable_ray.actors.store.records import InboxRow, InstanceRow, Status
from durable_ray.actors.store.writes import FinishUnstarted
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_event, encode_events
from durable_ray.orchestrations.history.transition import tell_parent

#: Runs a blocking call on a thread that may block.
Blocking = Callable[[Callable[[], Any]], Awaitable[Any]]


def finish_pending(
    row: InstanceRow, mail: Iterable[InboxRow], request: ev.TerminateRequested, now: int
) -> FinishUnstarted:
    """End an instance before its first turn.

    Its history is that of one that was terminated in its first turn, with the events that waited for it, so that it can
    be rewound like any other.
    """
    started = ev.ExecutionStarted(
        row.name, row.execution_id, row.input, row.version, row.code_id, row.parent, row.generation
    )
    ending = ev.ExecutionTerminated(request.reason)
    waiting = [event for message in mail if isinstance(event := decode_event(message.body), ev.EventRaised)]
    events: list[ev.Event] = [ev.TurnStarted(now), started, *waiting, ending]
    message = None
    if row.parent is not None:
        told = tell_parent(row.instance_id, row.execution_id, row.parent, ending)
        message = out_message(row.parent.instance_id, told)
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


async def pausing(store: Store, blocking: Blocking, row: InstanceRow, event: ev.Event) -> Reply | None:
    """What is said against suspending (or resuming) an instance that is not in memory; None: put it into its mailbox."""
    if not isinstance(event, ev.ExecutionSuspended | ev.ExecutionResumed):
        return None
    return pause_refused(row, await blocking(lambda: store.inbox([row.instance_id])), event)


def pause_refused(row: InstanceRow, mail: Iterable[InboxRow], event: ev.Event) -> Reply | None:
    """What is said against suspending (or resuming) an instance for which these messages wait, if anything."""
    wanted = isinstance(event, ev.ExecutionSuspended)
    if paused_by(mail, row.status == "Suspended") == wanted:
        return Reply("refused", "already suspended" if wanted else "not suspended")
    return None


def status_by(event: ev.Event) -> Status | None:
    """The status of an instance that never had a turn with this event in its mailbox; None: what it is.

    Nobody looks into a mailbox before the first turn, so the row has to say that it is suspended.
    """
    if isinstance(event, ev.ExecutionSuspended):
        return "Suspended"
    return "Pending" if isinstance(event, ev.ExecutionResumed) else None


def paused_by(mail: Iterable[InboxRow], paused: bool) -> bool:
    """Whether the messages that wait for an instance leave it suspended when it has taken them."""
    for row in mail:
        event = decode_event(row.body)
        if isinstance(event, ev.ExecutionSuspended | ev.ExecutionResumed):
            paused = isinstance(event, ev.ExecutionSuspended)
    return paused
