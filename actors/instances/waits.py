"""What an instance waits for, by what is stored of it: shown with its status, and in the text of a timeout.

Computed from its row, its history and what the registry knows besides (permits, the cluster's resources), never asked of its
host: an instance that hangs has to be explained also where its host is what hangs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal

from msgspec import MsgspecError, Struct, field, json

from durable_ray.actors.errors import DamagedHistory
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.store.records import Loaded, Permit
from durable_ray.orchestrations.engine.commands import AwaitedEvent
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.history.snapshot import Outstanding, Snapshot
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.times import is_never, to_datetime
from durable_ray.orchestrations.values.values import Value

WaitKind = Literal[
    "event", "timer", "activity", "child", "place", "permit", "code", "resource", "resume", "host", "store", "more"
]

#: So many are told one by one, the others as a number.
MOST_WAITS = 100
#: Of a failure's message, in words.
MOST_CHARS = 200
#: From here on a retry policy has no limit worth telling.
_MANY = 1_000_000

_read_awaited = json.Decoder(tuple[AwaitedEvent, ...]).decode


class Wait(Value, frozen=True):
    """One thing that an instance waits for. `str()` says it in words.

    Attributes:
        kind: "event" (external), "timer", "activity", "child" (a sub-orchestration), "place" (a process, or its turn by
            `max_running`), "permit" (an activity behind others, by its `max_running`), "resource" (an activity for what
            the cluster does not have, or not free), "code" (its code cannot be loaded), "resume" (it is suspended), "host"
            (its host cannot be opened), "store" (what is stored of it is damaged), "more" (others; `detail` says how many).
        name: the event's, activity's or orchestrator's.
        since: since when (aware, UTC).
        due: when it is over by itself, or the next attempt begins; None: not by time.
        task_id: its number among all that the execution asked for.
        instance_id: the child's.
        attempt: the number of the attempt that runs, or is the next; None for what has no attempts.
        max_attempts: as its retry policy says, if it has one.
        last_failure: of the attempt before.
        detail: more, in words.
    """

    kind: WaitKind
    name: str = ""
    since: datetime | None = None
    due: datetime | None = None
    task_id: int | None = None
    instance_id: str | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    last_failure: FailureDetails | None = None
    detail: str = ""

    def __str__(self) -> str:
        name = f"{self.name!r}" if self.name else ""
        match self.kind:
            case "child":
                what = f"child {self.instance_id!r} ({self.name})"
            case "permit" | "resource":
                what = f"a {self.kind} for activity {name}"
            case "event" | "timer" | "activity":
                what = f"{self.kind} {name}".rstrip()
            case _:
                what = self.detail or self.kind
        detail = "" if self.detail == what else self.detail
        return ", ".join(filter(None, (what, detail, self._attempt(), self._time())))

    def _attempt(self) -> str:
        if self.last_failure is None:
            return ""
        most = "" if self.max_attempts is None else f" of {self.max_attempts}"
        after = f"{self.last_failure.error_type.removeprefix('builtins.')}: {self.last_failure.message}"
        return f"attempt {self.attempt}{most} after {_cut(after)}"

    def _time(self) -> str:
        if self.due is not None:
            return f"{'until' if self.kind == 'event' else 'due'} {self.due:%Y-%m-%d %H:%M:%S}Z"
        return "" if self.since is None else f"since {self.since:%Y-%m-%d %H:%M:%S}Z"


def _cut(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= MOST_CHARS else line[: MOST_CHARS - 1] + "…"


class UnmetDemand(Struct, frozen=True):
    """A resource that cannot be had now, in words, and by how many attempts at most (None: by none that asks for it)."""

    text: str
    attempts: int | None = None


class WaitFacts(Struct, frozen=True):
    """An instance, with what is known beside it.

    Attributes:
        loaded: its row; of a live one also its history.
        permits: (permit, whether it is granted) of its attempts.
        limits: activity's name -> most attempts at a time.
        unmet: activity's name -> which resource its attempts lack.
        place: why it has no process yet, in words.
    """

    loaded: Loaded
    permits: tuple[tuple[Permit, bool], ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    unmet: Mapping[str, UnmetDemand] = field(default_factory=dict)
    place: str = ""


def waits_of(facts: WaitFacts) -> tuple[Wait, ...]:
    """What the instance waits for, that first without which the rest is of no use; nothing if it has ended, or runs."""
    row = facts.loaded.row
    if row.finished:
        return ()
    found = [*_obstacles(facts)]
    if row.events and facts.loaded.history:
        try:
            events, snapshot = restore(facts.loaded)
        except DamagedHistory as error:
            found = [wait for wait in found if wait.kind != "store"] + [Wait("store", detail=str(error))]
        else:
            found += _asked(facts, events, snapshot)
    if len(found) <= MOST_WAITS:
        return tuple(found)
    return (*found[:MOST_WAITS], Wait("more", detail=f"{len(found) - MOST_WAITS} more"))


_REASONS: dict[str, WaitKind] = {"code": "code", "host": "host", "history": "store", "row": "store"}


def _obstacles(facts: WaitFacts) -> Iterator[Wait]:
    row = facts.loaded.row
    since = to_datetime(row.updated_at or row.created_at)
    reason = row.why_waiting or ""
    if row.queued:
        yield Wait("place", row.name, since, detail=f"its turn: 'max_running' of {row.name!r} instances run")
    elif reason:
        yield Wait(_REASONS.get(reason.partition(":")[0], "place"), since=since, detail=reason)
    if row.status == "Suspended":
        yield Wait("resume", since=since, detail="to be resumed")
    if row.turn == 0 and row.start_at is not None:
        yield Wait("timer", "start", to_datetime(row.created_at), to_datetime(row.start_at))
    elif facts.place and not row.queued:
        yield Wait("place", row.name, since, detail=facts.place)


def _asked(facts: WaitFacts, events: list[Event], snapshot: Snapshot) -> Iterator[Wait]:
    """What its code asked for and has not got."""
    awaited = _awaited(facts.loaded.row.awaited)
    for event in awaited:
        fire_at = None if event.timer is None else snapshot.timers.get(event.timer)
        yield Wait("event", event.name, to_datetime(event.since), _moment(fire_at), event.timer)
    failures = {event.task_id: event.failure for event in events if isinstance(event, ev.AttemptFailed)}
    lacks: dict[int, tuple[WaitKind, str]] = _unplaced(facts, snapshot)
    for permit, granted in facts.permits:
        if not granted:
            lacks[permit.task_id] = ("permit", f"max_running is {facts.limits.get(permit.name, '?')}")
    tasks = {**snapshot.activities, **snapshot.children}
    for task_id in sorted({*tasks, *snapshot.timers} - {event.timer for event in awaited if event.timer is not None}):
        task = tasks.get(task_id)
        if task is None:
            yield Wait("timer", due=_moment(snapshot.timers[task_id]), task_id=task_id)
        else:
            retry_at = snapshot.retries.get(task_id)
            lacking = None if retry_at is not None else lacks.get(task_id)
            yield _task(task, retry_at, failures.get(task_id), lacking)


def _unplaced(facts: WaitFacts, snapshot: Snapshot) -> dict[int, tuple[WaitKind, str]]:
    """The attempts that Ray does not place. Where others like them run, the last: Ray places in the order of requests."""
    found: dict[int, tuple[WaitKind, str]] = {}
    for name, demand in facts.unmet.items():
        asked = [
            task_id
            for task_id, task in sorted(snapshot.activities.items())
            if task.scheduled.name == name and task_id not in snapshot.retries
        ]
        most = len(asked) if demand.attempts is None else min(demand.attempts, len(asked))
        found |= dict.fromkeys(asked[len(asked) - most :], ("resource", demand.text))
    return found


def _task(
    task: Outstanding, retry_at: int | None, failure: FailureDetails | None, lacking: tuple[WaitKind, str] | None
) -> Wait:
    scheduled, since = task.scheduled, to_datetime(task.scheduled_at)
    kind: WaitKind = "activity"
    detail, child, most = "", None, scheduled.retry.max_number_of_attempts if scheduled.retry else _MANY
    if isinstance(scheduled, ev.ChildScheduled):
        kind, child = "child", scheduled.instance_id
    elif lacking is not None:
        kind, detail = lacking
    return Wait(
        kind,
        scheduled.name,
        since,
        _moment(retry_at),
        scheduled.task_id,
        child,
        task.attempt + (retry_at is not None),
        None if most >= _MANY else most,
        failure,
        detail,
    )


def _moment(at: int | None) -> datetime | None:
    return None if at is None or is_never(at) else to_datetime(at)


def _awaited(text: str | None) -> tuple[AwaitedEvent, ...]:
    try:
        return _read_awaited(text) if text else ()
    except MsgspecError:
        return ()  # a status must not fail for it


def explained(facts: WaitFacts, most: int = 3) -> str:
    """How the instance stands and what it waits for, for an error's text."""
    row, waits = facts.loaded.row, waits_of(facts)
    if row.finished:
        return f"it is {row.status}"
    said = [str(wait) for wait in waits[:most]]
    if len(waits) > most:
        said.append(f"and {len(waits) - most} more")
    waiting = f" and waits for {'; '.join(said)}" if said else ""
    return f"it is {row.status}{waiting}. It goes on: wait again, or terminate it"
