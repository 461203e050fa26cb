"""The port of the command line: a hub's operations, with the same values over Ray and over HTTP.

Payloads are JSON values here. One that only Python can read stays closed and is shown as such: the command line runs
where the user's modules may be missing, and opening a pickle runs code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, Self

from durable_ray.actors.store.records import FINISHED, InstanceQuery
from durable_ray.client.operations.starting import StartKeywords
from durable_ray.client.schedule_documents import ScheduleQuery

Verb = Literal["terminate", "suspend", "resume", "rewind"]
ScheduleVerb = Literal["pause", "resume", "trigger", "backfill"]
#: A schedule as `/api/v1/schedules` shows it, in JSON values: times are texts.
ScheduleDocument = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventView:
    """An event of a history: `name` of the task or event it is about, `data` all its fields that are not empty."""

    at: datetime | None
    kind: str
    name: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstanceView:
    """The status of an instance; the fields are named as in `/api/v1`."""

    instance_id: str
    name: str
    status: str
    created_at: datetime
    updated_at: datetime
    version: str = ""
    execution_id: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    scheduled_start: datetime | None = None
    input: Any = None
    #: The result; of a failed instance the failure's text.
    output: Any = None
    custom_status: Any = None
    failure: Mapping[str, Any] | None = None
    parent_id: str | None = None
    placement: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    waiting_reason: str | None = None
    #: Each as `/api/v1` shows it; None where many instances are listed.
    waiting_for: Sequence[Mapping[str, Any]] | None = None
    recoveries: int = 0
    #: All of it as `/api/v1` shows it.
    document: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[EventView, ...] | None = None
    #: When its next timer is due, and how many activities are under way; known over Ray only.
    next_due: datetime | None = None
    outstanding: int = 0

    @classmethod
    def of(cls, shown: Mapping[str, Any], history: Iterable[Mapping[str, Any]] | None = None, **more: Any) -> Self:
        """From the JSON of `/api/v1`, whose times are datetimes or text."""
        document = {**shown, **{name: _time(shown[name]) for name in _TIMES}}
        if (failure := shown["failure"]) is not None:
            document["output"] = f"{failure['error_type'].removeprefix('builtins.')}: {failure['message']}"
        own = {field.name: document[field.name] for field in dataclasses.fields(cls) if field.name in document}
        return cls(**own, document=document, history=None if history is None else event_views(history), **more)

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.status in FINISHED


_TIMES = ("created_at", "updated_at", "started_at", "completed_at", "scheduled_start")
#: Of an entry of a history; the others depend on the event's type.
_ENTRY_FIELDS = frozenset({"index", "type", "at"})


def event_views(entries: Iterable[Mapping[str, Any]]) -> tuple[EventView, ...]:
    """A readable history: without turns and empty fields, the events of a task named as the event that scheduled it."""
    found: list[EventView] = []
    names: dict[int, str] = {}
    for entry in entries:
        if entry["type"] == "TurnStarted":
            continue
        data = {
            key: value
            for key, value in entry.items()
            if key not in _ENTRY_FIELDS and value is not None and value is not False and value not in ("", [], ())
        }
        task_id, name = data.get("task_id"), str(data.get("name") or "")
        if isinstance(task_id, int):
            name = names.setdefault(task_id, name)
        found.append(EventView(_time(entry["at"]), entry["type"], name, data))
    return tuple(found)


def _time(at: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(at) if isinstance(at, str) else at


@dataclass(frozen=True, slots=True)
class Deployed:
    """A definition that the hub knows."""

    kind: str
    name: str
    version: str
    code_id: str
    how: str


class SchedulePort(Protocol):
    """The schedules of a hub, as commands use them."""

    def create(self, schedule_id: str, schedule: ScheduleDocument, *, paused: bool, note: str) -> ScheduleDocument:
        """Create a schedule; `schedule` is that part of a document."""

    def get(self, schedule_id: str) -> ScheduleDocument:
        """One schedule. Raises ScheduleNotFound."""

    def page(
        self, wanted: ScheduleQuery, size: int, token: str | None = None
    ) -> tuple[list[ScheduleDocument], str | None]:
        """Some schedules by ID and, if there are more, the token that continues after them."""

    def update(self, schedule_id: str, schedule: ScheduleDocument, version: int) -> ScheduleDocument:
        """Make it another schedule, if it still has this version. Raises ScheduleNotFound, ScheduleChanged."""

    def change(self, schedule_id: str, verb: ScheduleVerb, **more: Any) -> ScheduleDocument:
        """Pause or resume (`note`), trigger (`overlap`) or backfill (`begin`, `end`, `overlap`) it. Raises ScheduleNotFound."""

    def delete(self, schedule_id: str) -> None:
        """Delete it. Raises ScheduleNotFound."""


class HubPort(Protocol):
    """A task hub, as commands use it. Raises the errors of `durable_ray`, over Ray and over HTTP alike."""

    @property
    def schedules(self) -> SchedulePort:
        """Its schedules."""

    @property
    def where(self) -> Mapping[str, str]:
        """What it is and where, for people."""

    def start(self, orchestrator: str, value: Any, instance_id: str | None, options: StartKeywords) -> str:
        """Start an instance; its ID."""

    def start_many(self, orchestrator: str, values: Sequence[Any], options: StartKeywords) -> list[str]:
        """Start an instance for each input; their IDs, in order."""

    def get(self, instance_id: str, *, history: bool = False) -> InstanceView | None:
        """One instance; None if there is none."""

    def page(self, wanted: InstanceQuery, size: int, token: str | None = None) -> tuple[list[InstanceView], str | None]:
        """Some instances by created time and, if there are more, the token that continues after them."""

    def count(self, wanted: InstanceQuery) -> int:
        """How many match."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(orchestrator, status) -> how many."""

    def wait(self, instance_id: str, seconds: float) -> bool:
        """Wait for an instance to end; whether it has. Raises InstanceNotFound."""

    def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        """Send an event."""

    def control(
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

    def purge_by(self, wanted: InstanceQuery, *, recursive: bool, progress: Callable[[int], object]) -> int:
        """Delete all finished instances that match; how many. `progress` is called with the number so far."""

    def definitions(self) -> list[Deployed]:
        """All that is deployed, the newest of each name and version."""
