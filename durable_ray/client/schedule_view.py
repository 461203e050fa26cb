"""A schedule as users see it: what it is, its next times, its last runs, and why a time was skipped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from durable_ray.actors.instances.status import moment
from durable_ray.orchestrations.schedules.documents import decode_state
from durable_ray.orchestrations.schedules.occurrences import next_times
from durable_ray.orchestrations.schedules.schedule import Schedule
from durable_ray.orchestrations.schedules.state import Declaration, Origin, RunCounts, ScheduleState, SkipReason

ScheduleStatus = Literal["active", "paused", "ended"]

#: How many of the next times are shown.
_NEXT = 10


@dataclass(frozen=True)
class ScheduleRun:
    """A run of a schedule. `time` is when it was due; `outcome` is "running" until it has ended."""

    instance_id: str
    time: datetime
    started_time: datetime
    ended_time: datetime | None
    outcome: Literal["running", "completed", "failed", "terminated", "lost"]
    origin: Origin


@dataclass(frozen=True)
class ScheduleSkip:
    """Times due from `first` to `last` that were not run: how many, and why. `noted_time` is when that was decided."""

    first: datetime
    last: datetime
    count: int
    reason: SkipReason
    detail: str
    noted_time: datetime


@dataclass(frozen=True)
class ScheduleDescription:
    """A schedule and what is known of it.

    Attributes:
        schedule: its spec, action and policy.
        status: "active", "paused", or "ended" (no time is due any more).
        version: changes with each update, pause and resumption; `update_schedule` may name it.
        note: what was noted when it was paused or resumed.
        next_times: the next ten times due, without jitter; none while it is paused.
        runs: those under way, then the last twenty that have ended, the newest first.
        waiting: how many runs wait for the end of those under way.
        skipped: the last times that were not run, the newest first.
        counts: how often what happened since it was created.
        declared: if code declares it, or did: the orchestrator, the schedule as it was declared last, and whether it still is.
    """

    schedule_id: str
    schedule: Schedule
    status: ScheduleStatus
    version: int
    note: str
    created_time: datetime
    next_times: tuple[datetime, ...]
    runs: tuple[ScheduleRun, ...]
    waiting: int
    skipped: tuple[ScheduleSkip, ...]
    counts: RunCounts
    declared: Declaration | None = None


def described_schedule(text: str) -> ScheduleDescription:
    """What the store has of a schedule, as users see it."""
    return described_state(decode_state(text))


def status_of_state(state: ScheduleState) -> ScheduleStatus:
    """Whether times are due."""
    return "paused" if state.paused else "ended" if state.ended else "active"


def described_state(state: ScheduleState) -> ScheduleDescription:
    """A schedule's state as users see it."""
    under_way = [
        ScheduleRun(run.instance_id, moment(run.time), moment(run.started_at), None, "running", run.origin)
        for run in reversed(state.under_way)
    ]
    ended = [
        ScheduleRun(
            run.instance_id, moment(run.time), moment(run.started_at), moment(run.ended_at), run.outcome, run.origin
        )
        for run in reversed(state.recent)
    ]
    skipped = [
        ScheduleSkip(moment(skip.first), moment(skip.last), skip.count, skip.reason, skip.detail, moment(skip.at))
        for skip in reversed(state.skipped)
    ]
    return ScheduleDescription(
        state.schedule_id,
        state.schedule,
        status_of_state(state),
        state.version,
        state.note,
        moment(state.created_at),
        _next_times(state),
        (*under_way, *ended),
        len(state.waiting),
        tuple(skipped),
        state.counts,
        state.declared,
    )


def _next_times(state: ScheduleState) -> tuple[datetime, ...]:
    if state.next_due is None:
        return ()
    spec = state.schedule.spec
    count = _NEXT if spec.max_runs is None else min(_NEXT, spec.max_runs - state.runs_used)
    return tuple(moment(time) for time in next_times(spec, state.cursor, count))
