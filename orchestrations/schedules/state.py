"""What is stored of a schedule: how far its times are decided, which runs are under way or wait, what became of the last ones.

Everything in it is bounded, however long the schedule lives. It changes by one function, `transition.transition`.
"""

from __future__ import annotations

from typing import Literal

from durable_ray.orchestrations.schedules.occurrences import Due
from durable_ray.orchestrations.schedules.schedule import Overlap, Schedule
from durable_ray.orchestrations.values.values import Value

#: How many runs wait, and how many are under way at once, at most.
MAX_WAITING = 1_000
MAX_UNDER_WAY = 1_000
#: How many of the last runs and skips are kept.
MAX_RECENT = 20
#: How many of the last requests are kept: who does not know the outcome of one repeats it soon.
MAX_REQUESTS = 50

Origin = Literal["schedule", "trigger", "backfill"]
RunOutcome = Literal["completed", "failed", "terminated", "lost"]
SkipReason = Literal[
    "overlap",  # another run was under way
    "full",  # too many waited already, or were under way
    "missed",  # nothing ran it within the catch-up window
    "superseded",  # a later time took its place
    "refused",  # its instance could not be started
    "updated",  # the schedule was changed before it could be run
]


class Run(Value, frozen=True, omit_defaults=True):
    """A run that was started. `ending`: its termination was asked for."""

    request_id: str
    instance_id: str
    time: int
    started_at: int
    origin: Origin = "schedule"
    ending: bool = False


class WaitingRun(Value, frozen=True, omit_defaults=True):
    """A run that was accepted and begins when it may."""

    request_id: str
    time: int
    origin: Origin = "schedule"


class RecentRun(Value, frozen=True, omit_defaults=True):
    """A run that has ended."""

    instance_id: str
    time: int
    started_at: int
    ended_at: int
    outcome: RunOutcome
    origin: Origin = "schedule"


class SkippedTimes(Value, frozen=True, omit_defaults=True):
    """Times due from `first` to `last` that were not run: how many (those missed are counted up to `MAX_COUNTED`), and why."""

    first: int
    last: int
    count: int
    reason: SkipReason
    detail: str
    at: int


class RunCounts(Value, frozen=True, omit_defaults=True):
    """How often what happened since the schedule was created. `scheduled` counts against max_runs."""

    scheduled: int = 0
    requested: int = 0
    completed: int = 0
    failed: int = 0
    terminated: int = 0
    lost: int = 0
    skipped: int = 0


class Declaration(Value, frozen=True, omit_defaults=True):
    """What the code of an orchestrator declares.

    Attributes:
        orchestrator: its name.
        schedule: as it was declared when code that declares it so was deployed for the first time. Where that of the schedule
            differs, somebody has updated it since.
        current: whether the newest code of that name still declares it. It is stored as true, and found out by who reads it.
    """

    orchestrator: str
    schedule: Schedule
    current: bool = True


class ScheduleState(Value, frozen=True, omit_defaults=True):
    """A schedule with all that is known of it.

    Attributes:
        version: changes whenever somebody changes the schedule; an update may name the one that it was made for.
        cursor: times up to this one are decided, and never come again.
        next_due: the next time due, and when its run begins. None: paused, or there is none.
        under_way: runs that were started and have not ended.
        waiting: runs that begin when those under way have ended, in this order.
        requests: IDs of triggers and backfills that were accepted, so that a retry changes nothing.
        declared: by which code it was created, or changed last.
        deleted: it was deleted although code declares it; all that is left is `declared`, so that the same code does not create
            it again. To all who ask it is absent.
    """

    schedule_id: str
    schedule: Schedule
    created_at: int
    cursor: int
    version: int = 1
    paused: bool = False
    #: Why it is paused, as whoever paused it said.
    note: str = ""
    next_due: Due | None = None
    under_way: tuple[Run, ...] = ()
    waiting: tuple[WaitingRun, ...] = ()
    recent: tuple[RecentRun, ...] = ()
    skipped: tuple[SkippedTimes, ...] = ()
    requests: tuple[str, ...] = ()
    counts: RunCounts = RunCounts()
    declared: Declaration | None = None
    deleted: bool = False

    @property
    def runs_used(self) -> int:
        """Runs by schedule that were started or will be: what max_runs limits."""
        return self.counts.scheduled + sum(run.origin == "schedule" for run in self.waiting)

    @property
    def ended(self) -> bool:
        """No time is due any more, unless it is updated."""
        return self.next_due is None and not self.paused


# --- what happens to a schedule ---


class ScheduleDue(Value, frozen=True):
    """Its time has come: decide all times due by now. Harmless if there is none."""


class RunEnded(Value, frozen=True):
    """The instance of a run has ended; "lost": it is gone, or another was started under its ID."""

    request_id: str
    outcome: RunOutcome


class RunRefused(Value, frozen=True):
    """A run could not be started; why, for people."""

    request_id: str
    detail: str


class SchedulePaused(Value, frozen=True):
    """No time is due until it is resumed; runs by schedule that wait, wait on."""

    note: str = ""


class ScheduleResumed(Value, frozen=True):
    """Times are due again, from now on."""

    note: str = ""


class ScheduleTriggered(Value, frozen=True):
    """Somebody wants a run now, paused or not; by this overlap policy, or the schedule's."""

    request_id: str
    overlap: Overlap | None = None


class ScheduleUpdated(Value, frozen=True):
    """It is another schedule from now on, if it still has this version (None: whichever)."""

    schedule: Schedule
    version: int | None = None


class ScheduleDeclared(Value, frozen=True):
    """Code that declares it was deployed."""

    declaration: Declaration


class ScheduleBackfilled(Value, frozen=True):
    """Somebody wants all times from `begin` to `end` run (again), one after the other or all at once."""

    request_id: str
    begin: int
    end: int
    overlap: Literal["buffer_all", "allow_all"] = "buffer_all"


ScheduleEvent = (
    ScheduleDue
    | RunEnded
    | RunRefused
    | SchedulePaused
    | ScheduleResumed
    | ScheduleTriggered
    | ScheduleUpdated
    | ScheduleDeclared
    | ScheduleBackfilled
)

# --- what is done about it ---


class StartRun(Value, frozen=True):
    """Start an instance of the schedule's action. The same run has the same request ID whenever it is asked for."""

    instance_id: str
    request_id: str
    time: int


class TerminateRun(Value, frozen=True):
    """Terminate the instance of a run."""

    instance_id: str
    request_id: str
    reason: str


class RequestRejected(Value, frozen=True):
    """What was asked for cannot be done; nothing was changed. "version": it has another one by now."""

    code: Literal["state", "version", "invalid"]
    detail: str


ScheduleEffect = StartRun | TerminateRun | RequestRejected
