"""Short words for the values that a store takes, with what does not matter to a test filled in."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import FINISHED, InboxMessage, InstanceRow, NewInstance
from durable_ray.actors.store.writes import Answer, CommitTurn, StartInstance, Write

HOST = "partition-1"


def new(instance_id: str, **more: Any) -> NewInstance:
    """An instance to be, shared, of host `HOST`; its execution is named after it."""
    given: dict[str, Any] = {
        "instance_id": instance_id,
        "execution_id": f"{instance_id}-x1",
        "name": "hello",
        "host": HOST,
        "placement": "shared",
        "created_at": 1000,
    }
    return NewInstance(**(given | more))


def dedicated(instance_id: str, **more: Any) -> NewInstance:
    """An instance to be with a host of its own."""
    return new(instance_id, **({"host": instance_id, "placement": "dedicated"} | more))


def start(instance_id: str, **more: Any) -> StartInstance:
    """A start of `new(...)`; a policy, receipt and so on are for the start, the rest is for the instance."""
    own = {
        name: more.pop(name) for name in ("if_exists", "receipt", "on_replaced", "replaces", "revision") if name in more
    }
    return StartInstance(new(instance_id, **more), **own)


def turn(row: InstanceRow | NewInstance, status: str = "Running", **more: Any) -> CommitTurn:
    """The next turn of an instance as `row` knows it: one event, "turn <n>"."""
    old = row if isinstance(row, InstanceRow) else None
    at = old.turn if old else 0
    given: dict[str, Any] = {
        "instance_id": row.instance_id,
        "execution_id": row.execution_id,
        "host": row.host,
        "turn": at,
        "name": row.name,
        "old_status": old.status if old else "Pending",
        "status": status,
        "updated_at": 2000 + at,
        "body": f"turn {at}",
        "first_event": old.events if old else 0,
        "events": 1,
        "completed_at": 2000 + at if status in FINISHED else None,
    }
    return CommitTurn(**(given | more))


def message(instance_id: str, message_id: str = "m1", body: str = "body") -> InboxMessage:
    """A message to an instance."""
    return InboxMessage(instance_id, message_id, body)


def put(instance_id: str, message_id: str = "m1", body: str = "body") -> InboxMessage:
    """The write that delivers a message."""
    return message(instance_id, message_id, body)


def made(store: Store, *writes: Write) -> Any:
    """Commit without a fence; the answers, or the one answer."""
    answers: tuple[Answer, ...] = store.commit(None, writes).answers
    return answers if len(answers) != 1 else answers[0]


def row(store: Store, instance_id: str) -> InstanceRow:
    """The row of an instance that must exist."""
    return store.rows([instance_id])[instance_id]


def advance(store: Store, instance_id: str, status: str = "Running", **more: Any) -> Any:
    """Commit the next turn of an instance, whatever its row says now."""
    return made(store, turn(row(store, instance_id), status, **more))


def purge(store: Store, *instance_ids: str) -> int:
    """Delete these as they are now; how many there were."""
    return len(store.purge([row.row_version for row in store.rows(instance_ids).values()]))


def pause(instance_id: str, status: Any = "Suspended") -> InboxMessage:
    """A message by which an instance that never had a turn has this status."""
    return replace(message(instance_id, f"pause-{status}"), unstarted=status)
