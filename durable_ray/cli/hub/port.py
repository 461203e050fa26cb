"""The port of the command line: what it asks of a hub, in values that look the same over Ray and over HTTP.

Payloads are JSON values here. One that only Python can read stays closed and is shown as such: the command line runs
where the user's modules may be missing, and opening a pickle runs code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

Verb = Literal["terminate", "suspend", "resume", "rewind"]

FINISHED = ("Completed", "Failed", "Terminated", "Canceled")


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of a history. `what` says of whom it is, `data` everything that is known."""

    at: datetime | None
    kind: str
    what: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance as it stands."""

    instance_id: str
    name: str
    status: str
    created: datetime
    updated: datetime
    input: Any = None
    output: Any = None
    custom_status: Any = None
    started: datetime | None = None
    completed: datetime | None = None
    scheduled_start: datetime | None = None
    execution_id: str = ""
    version: str = ""
    parent: str | None = None
    placement: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    recoveries: int = 0
    #: When its next timer is due, and how many activities are under way; where the way to the hub tells.
    next_due: datetime | None = None
    outstanding: int = 0
    waiting_reason: str | None = None
    failure: Mapping[str, Any] | None = None
    history: tuple[Happening, ...] | None = None

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Which instances; all parts are ANDed, several statuses or names ORed."""

    statuses: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    prefix: str = ""
    created_from: datetime | None = None
    created_to: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class StartCommand:
    """A start, as it was asked for."""

    name: str
    if_exists: Literal["reject", "use_existing", "terminate_existing", "reject_finished"] = "reject"
    start_at: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    placement: Literal["dedicated", "shared"] | None = None
    version: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """A definition that the hub knows."""

    kind: str
    name: str
    version: str
    code_id: str
    how: str


class HubPort(Protocol):
    """A task hub, as commands see it. Raises the errors of `durable_ray`, whatever the way."""

    @property
    def where(self) -> Mapping[str, str]:
        """What it is and where, for people."""

    def start(self, order: StartCommand, inputs: Sequence[Any], instance_ids: Sequence[str | None]) -> list[str]:
        """Start instances; their IDs, in order."""

    def get(self, instance_id: str, *, history: bool = False) -> InstanceView | None:
        """One instance; None if there is none."""

    def page(
        self, wanted: InstanceFilter, size: int, token: str | None = None
    ) -> tuple[list[InstanceView], str | None]:
        """Some instances by created time and, if there are more, the token that continues after them."""

    def count(self, wanted: InstanceFilter) -> int:
        """How many match."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(orchestrator, status) -> how many."""

    def wait(self, instance_id: str, seconds: float) -> bool:
        """Wait for an instance to end; whether it has. Raises InstanceNotFound."""

    def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        """Send an event."""

    def tell(
        self,
        instance_id: str,
        verb: Verb,
        reason: str | None = None,
        *,
        recursive: bool = False,
        version: Literal["latest"] | None = None,
    ) -> None:
        """Terminate (`recursive`: with its sub-orchestrations), suspend, resume or rewind (`version`) an instance."""

    def restart(self, instance_id: str, *, new_id: bool) -> str:
        """Start it again with its first input; the ID of the new execution's instance."""

    def purge(self, instance_id: str, *, recursive: bool = False) -> int:
        """Delete a finished instance; how many were deleted. A live one is left alone."""

    def purge_by(self, wanted: InstanceFilter, *, recursive: bool, progress: Callable[[int], object]) -> int:
        """Delete all finished instances that match; how many. `progress` is told how many so far."""

    def definitions(self) -> list[Deployed]:
        """All that is deployed, the newest of each name and version."""
