"""The locked instance rows of a group: which a write concerns, and what decisions need of each."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from durable_ray.actors.store.records import FINISHED, Placement, Status
from durable_ray.actors.store.writes import CommitTurn, FinishUnstarted, StartInstance, StoreSchedule, Write

ENDED = frozenset(FINISHED)


class Known(Struct):
    """What decisions need of an instance, as of this point of the group."""

    instance_id: str
    execution_id: str
    name: str
    placement: Placement
    host: str
    resident: bool
    status: Status
    turn: int
    parent_id: str | None
    created_at: int

    def __post_init__(self) -> None:
        self.resident = bool(self.resident)  # SQLite has no booleans

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
