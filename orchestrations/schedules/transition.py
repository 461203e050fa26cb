"""How a schedule changes: (state, event, now) -> (new state, effects). The one place where runs are decided.

A time due is decided exactly once: `cursor` passes it in the same transition that starts it, lets it wait, or skips it, and
never goes back. What is asked for from outside (a trigger, a backfill) is known by its request ID instead.

| event      | active                                     | paused                 | ended                |
|------------|--------------------------------------------|------------------------|----------------------|
| due        | decide each time due by now                | nothing                | nothing              |
| run ended  | note the outcome, start what waits         | start only what was asked for | as active     |
| run refused| note why, start what waits                 | the same               | as active            |
| paused     | decide what is due, then pause             | rejected               | pause                |
| resumed    | rejected                                   | go on with times after now, start what waits | rejected |
| triggered  | start, by the overlap policy               | the same               | the same             |
| updated    | decide what is due by the old, then change | change                 | change, active if due |
| declared   | as updated, if it is declared differently than before | the same | the same |
| backfilled | let all wait, or start all                 | the same               | the same             |

What becomes of one time due is decided by `ON_OVERLAP`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from msgspec.structs import replace

from durable_ray.orchestrations.schedules import occurrences
from durable_ray.orchestrations.schedules.draft import Draft
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import Overlap, Schedule, time_text, validate_schedule_id
from durable_ray.orchestrations.schedules.state import (
    MAX_UNDER_WAY,
    MAX_WAITING,
    Declaration,
    RequestRejected,
    RunEnded,
    RunRefused,
    ScheduleBackfilled,
    ScheduleDeclared,
    ScheduleDue,
    ScheduleEffect,
    ScheduleEvent,
    SchedulePaused,
    ScheduleResumed,
    ScheduleState,
    ScheduleTriggered,
    ScheduleUpdated,
    SkipReason,
    WaitingRun,
)

#: So many times are admitted in one transition; if more are due, `next_due` is in the past, and they come with the next one.
MAX_DECIDED = 200
#: So many missed times are counted; of more, only the first and the last are known.
MAX_COUNTED = 1_000


class Occupancy(enum.Enum):
    """What a schedule is busy with when a run is to begin."""

    #: No run is under way.
    IDLE = enum.auto()
    #: One is under way, none waits (those of a backfill do not count).
    RUNNING = enum.auto()
    #: One is under way, and another waits.
    WAITING = enum.auto()
    #: No more can wait, or where runs may overlap, be under way.
    FULL = enum.auto()


class Verdict(enum.Enum):
    """What becomes of a run that is to begin."""

    START = enum.auto()
    WAIT = enum.auto()
    SKIP = enum.auto()
    #: Terminate what is under way, and wait for its end in the place of what waits.
    TERMINATE = enum.auto()


#: overlap policy -> occupancy -> verdict.
ON_OVERLAP: dict[Overlap, dict[Occupancy, Verdict]] = {
    "skip": {
        Occupancy.IDLE: Verdict.START,
        Occupancy.RUNNING: Verdict.SKIP,
        Occupancy.WAITING: Verdict.SKIP,
        Occupancy.FULL: Verdict.SKIP,
    },
    "buffer_one": {
        Occupancy.IDLE: Verdict.START,
        Occupancy.RUNNING: Verdict.WAIT,
        Occupancy.WAITING: Verdict.SKIP,
        Occupancy.FULL: Verdict.SKIP,
    },
    "buffer_all": {
        Occupancy.IDLE: Verdict.START,
        Occupancy.RUNNING: Verdict.WAIT,
        Occupancy.WAITING: Verdict.WAIT,
        Occupancy.FULL: Verdict.SKIP,
    },
    "terminate": {
        Occupancy.IDLE: Verdict.START,
        Occupancy.RUNNING: Verdict.TERMINATE,
        Occupancy.WAITING: Verdict.TERMINATE,
        Occupancy.FULL: Verdict.TERMINATE,
    },
    "allow_all": {
        Occupancy.IDLE: Verdict.START,
        Occupancy.RUNNING: Verdict.START,
        Occupancy.WAITING: Verdict.START,
        Occupancy.FULL: Verdict.SKIP,
    },
}


class ScheduleDecision(NamedTuple):
    """The schedule as it is from now on, and what to do once that is stored."""

    state: ScheduleState
    effects: tuple[ScheduleEffect, ...] = ()


class _Rejected(Exception):
    """Nothing is changed."""


def create(schedule_id: str, schedule: Schedule, now: int, *, paused: bool = False, note: str = "") -> ScheduleState:
    """A new schedule, whose first time is later than `now`.

    Raises:
        InvalidSchedule: its ID is not allowed, or it would never fire.
    """
    validate_schedule_id(schedule_id, schedule)
    occurrences.check_fires(schedule.spec, now)
    draft = Draft(ScheduleState(schedule_id, schedule, now, now, paused=paused, note=note), now)
    draft.arm()
    return draft.state


def absent(schedule_id: str, declaration: Declaration, now: int) -> ScheduleState:
    """A schedule that is not there, for code that declares it to create."""
    return ScheduleState(schedule_id, declaration.schedule, now, now, paused=True, deleted=True)


def deleted(state: ScheduleState, declaration: Declaration) -> ScheduleState:
    """What is left of a schedule that code declares."""
    return replace(absent(state.schedule_id, declaration, state.created_at), declared=declaration)


def transition(state: ScheduleState, event: ScheduleEvent, now: int) -> ScheduleDecision:
    """What becomes of a schedule at `now` by an event. An event that was heard before changes nothing."""
    draft = Draft(state, now)
    try:
        _HANDLERS[type(event)](draft, event)
    except _Rejected as rejected:
        return ScheduleDecision(state, (rejected.args[0],))
    _start_waiting(draft)
    draft.arm()
    return ScheduleDecision(draft.state, tuple(draft.effects))


# --- events ---


def _on_due(draft: Draft, event: ScheduleDue) -> None:
    _decide_due(draft)


def _on_ended(draft: Draft, event: RunEnded) -> None:
    run = draft.run(event.request_id)
    if run is None:
        return
    draft.end(run, event.outcome)
    if event.outcome == "failed" and draft.state.schedule.policy.pause_on_failure and not draft.state.paused:
        _decide_due(draft)
        draft.change(paused=True, note=f"the run of {time_text(run.time)} failed", version=draft.state.version + 1)


def _on_refused(draft: Draft, event: RunRefused) -> None:
    run = draft.run(event.request_id)
    if run is not None:
        draft.withdraw(run, event.detail)


def _on_paused(draft: Draft, event: SchedulePaused) -> None:
    if draft.state.paused:
        raise _Rejected(RequestRejected("state", "the schedule is paused already"))
    _decide_due(draft)
    draft.change(paused=True, note=event.note, version=draft.state.version + 1)


def _on_resumed(draft: Draft, event: ScheduleResumed) -> None:
    if not draft.state.paused:
        raise _Rejected(RequestRejected("state", "the schedule is not paused"))
    draft.change(paused=False, note=event.note, version=draft.state.version + 1)
    draft.pass_until(_passed_by(draft, draft.now))


def _on_triggered(draft: Draft, event: ScheduleTriggered) -> None:
    if not draft.accept(event.request_id):
        return
    overlap = event.overlap or draft.state.schedule.policy.overlap
    _check_overlap(draft, overlap)
    if ON_OVERLAP[overlap][_occupancy(draft, overlap)] is Verdict.SKIP:
        _, detail = _why_skipped(draft, overlap)
        raise _Rejected(RequestRejected("state", f"not triggered: {detail}"))
    request_id = draft.request_id("trigger", event.request_id)
    _admit(draft, WaitingRun(request_id, draft.now, "trigger"), overlap)


def _on_updated(draft: Draft, event: ScheduleUpdated) -> None:
    state, schedule = draft.state, event.schedule
    if event.version is not None and event.version != state.version:
        detail = f"the schedule has version {state.version} by now, not {event.version}: read it again"
        raise _Rejected(RequestRejected("version", detail))
    try:
        validate_schedule_id(state.schedule_id, schedule)
        if schedule.spec != state.schedule.spec:
            occurrences.check_fires(schedule.spec, draft.now)
    except InvalidSchedule as error:
        raise _Rejected(RequestRejected("invalid", str(error))) from None
    _become(draft, schedule)


def _on_declared(draft: Draft, event: ScheduleDeclared) -> None:
    state, declaration = draft.state, event.declaration
    if state.declared == declaration:
        return  # whatever was changed by hand since, stays
    if state.deleted:
        draft.state = ScheduleState(state.schedule_id, declaration.schedule, draft.now, draft.now)
    elif state.schedule != declaration.schedule:
        _become(draft, declaration.schedule)
    draft.change(declared=declaration)


def _become(draft: Draft, schedule: Schedule) -> None:
    """From now on it is this one; what is due by now is decided by the old."""
    _decide_due(draft)
    if schedule.spec != draft.state.schedule.spec:
        _drop_undecided(draft)
    draft.change(schedule=schedule, version=draft.state.version + 1)


def _on_backfilled(draft: Draft, event: ScheduleBackfilled) -> None:
    state = draft.state
    if not draft.accept(event.request_id):
        return
    if not event.begin <= event.end <= draft.now:
        raise _Rejected(RequestRejected("invalid", "a backfill is of times past: begin, then end, then now"))
    _check_overlap(draft, event.overlap)
    room = MAX_UNDER_WAY - len(state.under_way) if event.overlap == "allow_all" else MAX_WAITING - len(state.waiting)
    times = list(islice(occurrences.between(state.schedule.spec, event.begin, event.end), room + 1))
    runs = [WaitingRun(draft.request_id("backfill", event.request_id, time), time, "backfill") for time in times]
    if not runs:
        raise _Rejected(RequestRejected("invalid", "no time of the schedule is between begin and end"))
    if len(runs) > room:
        detail = (
            f"more than {room} times are between begin and end, and no more can wait or be under way: backfill a part"
        )
        raise _Rejected(RequestRejected("invalid", detail))
    for run in runs:
        if event.overlap == "allow_all":
            draft.start(run)
        else:
            draft.wait(run)


_HANDLERS: dict[type, Callable[[Draft, Any], None]] = {
    ScheduleDue: _on_due,
    RunEnded: _on_ended,
    RunRefused: _on_refused,
    SchedulePaused: _on_paused,
    ScheduleResumed: _on_resumed,
    ScheduleTriggered: _on_triggered,
    ScheduleUpdated: _on_updated,
    ScheduleDeclared: _on_declared,
    ScheduleBackfilled: _on_backfilled,
}

# --- times due ---


def _decide_due(draft: Draft) -> None:
    """Decide the times that have come: those outside the catch-up window are missed, the others are admitted one by one."""
    if draft.state.paused:
        return
    policy = draft.state.schedule.policy
    cutoff = draft.now - policy.window
    _skip_outside(draft, cutoff)
    if policy.catch_up == "latest":
        _skip_superseded(draft)
    for _ in range(MAX_DECIDED):
        due = draft.due()
        if due is None or due.at > draft.now:
            return
        draft.pass_until(due.time)
        if due.at < cutoff:
            draft.skip(due.time, "missed", _missed(draft))
        else:
            request_id = draft.request_id("schedule", str(due.time))
            _admit(draft, WaitingRun(request_id, due.time), policy.overlap)


def _skip_outside(draft: Draft, cutoff: int) -> None:
    """Pass all times that begin before `cutoff` for certain; a jitter may leave a few, which are looked at one by one."""
    jitter = draft.state.schedule.spec.jitter
    assert isinstance(jitter, timedelta)
    _skip_until(draft, cutoff - jitter // timedelta(microseconds=1) - 1, "missed", _missed(draft))


def _skip_superseded(draft: Draft) -> None:
    """Pass all times due but the last."""
    spec, due = draft.state.schedule.spec, draft.due()
    following = due and occurrences.next_due(spec, draft.state.schedule_id, due.time)
    if following is None or following.at > draft.now:
        return
    passed = _passed_by(draft, draft.now)
    latest = occurrences.previous(spec, passed + 1)
    if latest is not None:
        _skip_until(draft, latest - 1, "superseded", 'a later time was due too, and catch_up is "latest"')


def _skip_until(draft: Draft, until: int, reason: SkipReason, detail: str) -> None:
    due = draft.due()
    if due is None or due.time > until:
        return
    spec = draft.state.schedule.spec
    times = list(islice(occurrences.between(spec, due.time, until), MAX_COUNTED))
    last = times[-1] if len(times) < MAX_COUNTED else occurrences.previous(spec, until + 1)
    assert last is not None
    draft.skip(times[0], reason, detail, last=last, count=len(times))
    draft.pass_until(until)


def _passed_by(draft: Draft, now: int) -> int:
    """The time up to which all times due have begun by `now`: the last one may be delayed by its jitter."""
    spec, schedule_id = draft.state.schedule.spec, draft.state.schedule_id
    last = occurrences.previous(spec, now + 1)
    if last is None:
        return now
    due = occurrences.next_due(spec, schedule_id, last - 1)
    assert due is not None
    return last - 1 if due.at > now else now


def _drop_undecided(draft: Draft) -> None:
    """The times of a spec that is no longer the schedule's; a jitter, or their number, has left them undecided."""
    if not draft.state.paused:
        _skip_until(draft, draft.now, "updated", "the times of the schedule were changed before it could begin")
    draft.pass_until(draft.now)


def _missed(draft: Draft) -> str:
    policy = draft.state.schedule.policy
    if policy.catch_up == "none":
        return 'it was missed, and catch_up is "none"'
    return f"it was missed for longer than the catch-up window of {policy.catch_up_window}"


# --- one run ---


def _admit(draft: Draft, run: WaitingRun, overlap: Overlap) -> None:
    """Start a run, let it wait, or skip it."""
    match ON_OVERLAP[overlap][_occupancy(draft, overlap)]:
        case Verdict.START:
            draft.start(run)
        case Verdict.WAIT:
            draft.wait(run)
        case Verdict.SKIP:
            reason, detail = _why_skipped(draft, overlap)
            draft.skip(run.time, reason, detail)
        case Verdict.TERMINATE:
            draft.supersede_waiting(f"the run of {time_text(run.time)} took its place")
            draft.terminate_all(f"the run of {time_text(run.time)} is due")
            draft.wait(run, first=True)


def _occupancy(draft: Draft, overlap: Overlap) -> Occupancy:
    state = draft.state
    full = len(state.under_way) >= MAX_UNDER_WAY if overlap == "allow_all" else len(state.waiting) >= MAX_WAITING
    if full:
        return Occupancy.FULL
    if not state.under_way:
        return Occupancy.IDLE
    return Occupancy.WAITING if any(run.origin != "backfill" for run in state.waiting) else Occupancy.RUNNING


def _why_skipped(draft: Draft, overlap: Overlap) -> tuple[SkipReason, str]:
    if _occupancy(draft, overlap) is Occupancy.FULL:
        if overlap == "allow_all":
            return "full", f"{MAX_UNDER_WAY:,} runs are under way, and no more are started"
        return "full", f"{MAX_WAITING:,} runs wait already, and no more can"
    first = draft.state.under_way[0]
    detail = f"the run of {time_text(first.time)} was under way"
    return "overlap", f"{detail}, and another waited" if overlap == "buffer_one" else detail


def _check_overlap(draft: Draft, overlap: Overlap) -> None:
    if overlap == "allow_all" and not draft.state.schedule.has_own_ids:
        raise _Rejected(
            RequestRejected("invalid", "all runs of this schedule have one instance ID, so they cannot overlap")
        )


def _start_waiting(draft: Draft) -> None:
    """Start what waits, if nothing is under way: the schedule's own runs first, then those of backfills.

    Where runs may overlap, only what was asked for waits, and only for its like.
    """
    state = draft.state
    overlaps = state.schedule.policy.overlap == "allow_all"
    if any(run.origin == "backfill" or not overlaps for run in state.under_way):
        return
    able = [run for run in state.waiting if run.origin != "schedule" or not state.paused]
    run = min(able, key=lambda run: run.origin == "backfill", default=None)
    if run is not None:
        draft.start(run)
