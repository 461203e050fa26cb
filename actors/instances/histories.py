"""Loaded histories: decoded, folded into a snapshot, and checked against the instance's row.

The row changes in the transaction that appends to the history, so the two agree, or the store is damaged: by a disk, a partial
restore, manual edits. Replaying a damaged history would commit a wrong turn, so the instance is stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from durable_ray.actors.store.hub_config import retention_of
from durable_ray.actors.store.records import InboxMessage, InstanceRow, Loaded
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_event, decode_events
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.history.snapshot import Snapshot, fold


class DamagedHistory(Exception):
    """What is stored of an instance cannot be read, or contradicts itself; the message says what and where."""

    def __init__(self, instance_id: str, what: str) -> None:
        super().__init__(
            f"the history of {instance_id!r} is damaged: {what}; restore the store from a backup (or upgrade, if a newer "
            "release wrote this), or terminate the instance"
        )


def restore(row: InstanceRow, chunks: Sequence[str]) -> tuple[list[Event], Snapshot]:
    """The events of an instance's history and its snapshot. Raises DamagedHistory."""
    if row.damage is not None:
        raise DamagedHistory(row.instance_id, f"in its row, {row.damage}")
    try:
        retention_of(row.settings)
    except ValueError as error:
        raise DamagedHistory(row.instance_id, f"in its row, {error}") from error
    events: list[Event] = []
    for chunk in chunks:
        try:
            events += decode_events(chunk)
        except Exception as error:
            raise DamagedHistory(
                row.instance_id, f"what begins at event #{len(events)} cannot be read ({error})"
            ) from error
    if len(events) != row.events:
        raise DamagedHistory(row.instance_id, f"it has {len(events)} events, its row says {row.events}")
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


def damage(loaded: Loaded) -> str | None:
    """The damage of what is stored of an instance; None if it can go on."""
    try:
        restore(loaded.row, loaded.history)
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
