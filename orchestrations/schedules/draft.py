"""A schedule's state while a transition changes it: the verbs, each of which keeps counts, bounds and effects right."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from durable_ray.orchestrations.schedules.occurrences import Due, next_due
from durable_ray.orchestrations.schedules.spec import ScheduleSpec
from durable_ray.orchestrations.schedules.state import (
    MAX_RECENT,
    MAX_REQUESTS,
    Origin,
    RecentRun,
    Run,
    RunOutcome,
    ScheduleEffect,
    ScheduleState,
    SkippedTimes,
    SkipReason,
    StartRun,
    TerminateRun,
    WaitingRun,
)


class Draft:
    """The state as it is so far, at `now`, and the effects so far."""

    def __init__(self, state: ScheduleState, now: int) -> None:
        self.state = state
        self.now = now
        self.effects: list[ScheduleEffect] = []
        #: What `due` found, and by which spec and cursor. As stored, it is the next time due.
        self._found: tuple[ScheduleSpec, int, Due | None] | None = None
        if state.next_due is not None:
            self._found = (state.schedule.spec, state.cursor, state.next_due)

    def change(self, **fields: Any) -> None:
        """Set fields of the state."""
        self.state = replace(self.state, **fields)

    # --- times ---

    def due(self) -> Due | None:
        """The first time that is not decided; None if no more are to be."""
        spec = self.state.schedule.spec
        if spec.max_runs is not None and self.state.runs_used >= spec.max_runs:
            return None
        if self._found is None or self._found[0] is not spec or self._found[1] != self.state.cursor:
            self._found = (spec, self.state.cursor, next_due(spec, self.state.schedule_id, self.state.cursor))
        return self._found[2]

    def pass_until(self, time: int) -> None:
        """All times up to this one are decided."""
        self.change(cursor=max(self.state.cursor, time))

    def arm(self) -> None:
        """Set the next time due."""
        self.change(next_due=None if self.state.paused else self.due())

    # --- runs ---

    def request_id(self, origin: Origin, *parts: object) -> str:
        """The request ID of a start: the same for the same run, another one for a later schedule of the same ID."""
        return ":".join([origin, self.state.schedule_id, str(self.state.created_at), *map(str, parts)])

    def run(self, request_id: str) -> Run | None:
        """A run under way."""
        return next((run for run in self.state.under_way if run.request_id == request_id), None)

    def accept(self, request_id: str) -> bool:
        """Note that this was asked for; False if it was before."""
        if request_id in self.state.requests:
            return False
        self.change(requests=(*self.state.requests, request_id)[-MAX_REQUESTS:])
        return True

    def start(self, run: WaitingRun) -> None:
        """Start a run, and wait for it no longer."""
        instance_id = self.state.schedule.run_id(self.state.schedule_id, run.time)
        self.change(
            waiting=tuple(other for other in self.state.waiting if other != run),
            under_way=(*self.state.under_way, Run(run.request_id, instance_id, run.time, self.now, run.origin)),
        )
        self._count("scheduled" if run.origin == "schedule" else "requested", 1)
        self.effects.append(StartRun(instance_id, run.request_id, run.time))

    def wait(self, run: WaitingRun, *, first: bool = False) -> None:
        """Let a run wait, behind or before the others."""
        self.change(waiting=(run, *self.state.waiting) if first else (*self.state.waiting, run))

    def terminate_all(self, reason: str) -> None:
        """Ask for the end of all runs under way, once."""
        self.effects.extend(
            TerminateRun(run.instance_id, run.request_id, reason) for run in self.state.under_way if not run.ending
        )
        self.change(under_way=tuple(replace(run, ending=True) for run in self.state.under_way))

    def supersede_waiting(self, detail: str) -> None:
        """Skip what waits, but for backfills."""
        for run in self.state.waiting:
            if run.origin != "backfill":
                self.skip(run.time, "superseded", detail)
        self.change(waiting=tuple(run for run in self.state.waiting if run.origin == "backfill"))

    def end(self, run: Run, outcome: RunOutcome) -> None:
        """A run has ended."""
        recent = RecentRun(run.instance_id, run.time, run.started_at, self.now, outcome, run.origin)
        self._remove(run)
        self.change(recent=(*self.state.recent, recent)[-MAX_RECENT:])
        self._count(outcome, 1)

    def withdraw(self, run: Run, detail: str) -> None:
        """A run was not started after all."""
        self._remove(run)
        self._count("scheduled" if run.origin == "schedule" else "requested", -1)
        self.skip(run.time, "refused", detail)

    def skip(self, first: int, reason: SkipReason, detail: str, *, last: int | None = None, count: int = 1) -> None:
        """Note times that are not run. What is skipped for one and the same reason, one after the other, is one note."""
        last = first if last is None else last
        skipped = self.state.skipped
        before = skipped[-1] if skipped else None
        same = before is not None and (before.reason, before.detail) == (reason, detail)
        if before is not None and same and (before.at == self.now or reason in ("overlap", "full", "refused")):
            first, count, skipped = min(before.first, first), before.count + count, skipped[:-1]
            last = max(before.last, last)
            added = count - before.count
        else:
            added = count
        note = SkippedTimes(first, last, count, reason, detail, self.now)
        self.change(skipped=(*skipped, note)[-MAX_RECENT:])
        self._count("skipped", added)

    def _remove(self, run: Run) -> None:
        self.change(under_way=tuple(other for other in self.state.under_way if other.request_id != run.request_id))

    def _count(self, name: str, by: int) -> None:
        counts = self.state.counts
        self.change(counts=replace(counts, **{name: getattr(counts, name) + by}))
