"""Loaded histories: decoded, folded into a snapshot, and checked against the instance's row.

The row changes in the transaction that appends to the history, so the two agree, or the store is damaged: by a disk, a partial
restore, manual edits. Replaying a damaged history would commit a wrong turn, so the instance is stopped.
"""

from __future__ import annotations

from collections.abc import Iterable

from durable_ray.actors.errors import DamagedHistory
from durable_ray.actors.store.hub_config import retention_of
from durable_ray.actors.store.records import InboxMessage, InstanceRow, Loaded
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_event, decode_events
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.history.snapshot import Snapshot, fold

_SCHEDULING = (ev.ActivityScheduled, ev.ChildScheduled, ev.TimerCreated, ev.EventSent)


def restore(loaded: Loaded) -> tuple[list[Event], Snapshot]:
    """The events of an instance's history and its snapshot. Raises DamagedHistory."""
    row = loaded.row
    if row.damage is not None:
        raise DamagedHistory(row.instance_id, f"in its row, {row.damage}")
    try:
        retention_of(row.settings)
    except ValueError as error:
        raise DamagedHistory(row.instance_id, f"in its row, {error}") from error
    events: list[Event] = []
    expected: list[int] = []
    for chunk in loaded.history:
        expected.append(len(events))
        try:
            events += decode_events(chunk)
        except Exception as error:
            raise DamagedHistory(
                row.instance_id, f"what begins at event #{len(events)} cannot be read ({error})"
            ) from error
    if len(events) != row.events:
        raise DamagedHistory(row.instance_id, f"it has {len(events)} events, its row says {row.events}")
    for position, index in zip(loaded.positions, expected, strict=True):
        if position != index:
            raise DamagedHistory(row.instance_id, f"event #{position} is stored where #{index} must be")
    if (misplaced := _misplaced(events)) is not None:
        raise DamagedHistory(row.instance_id, f"event #{misplaced} comes before what it answers")
    try:
        snapshot = fold(row.instance_id, events)
    except Exception as error:
        raise DamagedHistory(row.instance_id, f"its events contradict each other ({error!r})") from error
    if row.turn and row.events and snapshot.execution_id != row.execution_id:
        what = f"it is of execution {snapshot.execution_id!r}, its row says {row.execution_id!r}"
        raise DamagedHistory(row.instance_id, what)
    if row.turn and row.events and snapshot.status != row.status:
        raise DamagedHistory(row.instance_id, f"it is {snapshot.status} by its history, its row says {row.status}")
    return events, snapshot


def _misplaced(events: Iterable[Event]) -> int | None:
    """The first event about a task that no event before it has scheduled."""
    scheduled: set[int] = set()
    for index, event in enumerate(events):
        task_id = getattr(event, "task_id", None)
        if task_id is None:
            continue
        if isinstance(event, _SCHEDULING):
            scheduled.add(task_id)
        elif task_id not in scheduled:
            return index
    return None


def damage(loaded: Loaded) -> str | None:
    """The damage of what is stored of an instance; None if it can go on."""
    try:
        restore(loaded)
        for row in loaded.inbox:
            message_of(row)
    except DamagedHistory as error:
        return str(error)
    return None


def snapshot_from_row(row: InstanceRow) -> Snapshot:
    """A snapshot of a damaged instance, by its row alone: enough to append a termination to its history."""
    return Snapshot(
        row.instance_id,
        row.execution_id,
        row.name,
        row.version,
        row.code_id,
        row.input,
        row.parent,
        row.generation,
        row.status,
        row.updated_at,
        row.started_at,
        row.events,
    )


def message_of(row: InboxMessage) -> ev.Message:
    """The message of an inbox row. Raises DamagedHistory."""
    try:
        return ev.Message(row.message_id, decode_event(row.body), row.execution_id)
    except Exception as error:
        raise DamagedHistory(row.instance_id, f"message {row.message_id!r} cannot be read ({error})") from error
