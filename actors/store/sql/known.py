"""The locked instance rows of a group: which a write concerns, and what decisions need of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from durable_ray.actors.store.records import FINISHED
from durable_ray.actors.store.writes import CommitTurn, FinishUnstarted, StartInstance, StoreSchedule, Write

ENDED = frozenset(FINISHED)


class Known:
    """What decisions need of an instance, as of this point of the group."""

    __slots__ = (
        "created_at",
        "execution_id",
        "host",
        "instance_id",
        "name",
        "parent_id",
        "placement",
        "resident",
        "status",
        "turn",
    )

    def __init__(
        self,
        instance_id: str,
        execution_id: str,
        name: str,
        placement: Any,
        host: str,
        resident: bool,
        status: Any,
        turn: int,
        parent_id: str | None,
        created_at: int,
    ) -> None:
        self.instance_id = instance_id
        self.execution_id = execution_id
        self.name = name
        self.placement = placement
        self.host = host
        self.resident = bool(resident)
        self.status = status
        self.turn = turn
        self.parent_id = parent_id
        self.created_at = created_at

    @property
    def shard(self) -> str:
        """Whose counters count this instance."""
        return self.host if self.placement == "shared" else ""


def consistent(write: CommitTurn, finished: bool) -> CommitTurn:
    """A finished row has `completed_at` = `updated_at` and is due for nothing; a live one has no end. The indexes
    count on it."""
    if not finished:
        return (
            write
            if write.completed_at is None and write.expires is None
            else replace(write, completed_at=None, expires=None)
        )
    end = write.updated_at if write.completed_at is None else write.completed_at
    if write.updated_at == end and write.completed_at == end and write.next_due is None:
        return write
    return replace(write, updated_at=end, completed_at=end, next_due=None)


def concerned(write: Write) -> Iterable[str]:
    """The IDs of all instances that this write may look at or change."""
    if isinstance(write, CommitTurn):
        if not (write.children or write.messages):
            return (write.instance_id,)
        return (
            write.instance_id,
            *(child.instance_id for child in write.children),
            *(message.instance_id for message in write.child_conflicts),
            *(message.instance_id for message in write.messages),
        )
    if isinstance(write, StartInstance):
        return (write.new.instance_id, *((write.on_replaced.instance_id,) if write.on_replaced else ()))
    if isinstance(write, FinishUnstarted):
        return (write.instance_id, *((write.message.instance_id,) if write.message else ()))
    if isinstance(write, StoreSchedule):
        return [instance_id for start in write.starts for instance_id in concerned(start)]
    return (write.instance_id,)
