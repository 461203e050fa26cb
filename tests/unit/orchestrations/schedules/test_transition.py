"""What becomes of a schedule by each event: overlap policies, missed runs, pauses, requests from outside."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

import pytest

from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import Overlap, Schedule, ScheduleAction, SchedulePolicy
from durable_ray.orchestrations.schedules.spec import Interval, ScheduleSpec
from durable_ray.orchestrations.schedules.state import (
    MAX_RECENT,
    MAX_UNDER_WAY,
    MAX_WAITING,
    RequestRejected,
    RunEnded,
    RunOutcome,
    RunRefused,
    ScheduleBackfilled,
    ScheduleDue,
    ScheduleEvent,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTriggered,
    ScheduleUpdated,
    StartRun,
    TerminateRun,
)
from durable_ray.orchestrations.schedules.transition import MAX_DECIDED, ON_OVERLAP, Occupancy, create, transition
from durable_ray.orchestrations.values.times import SECOND

MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
#: The schedules here are due at each full hour from then.
START = 20_000 * DAY


class Life:
    """A schedule, and all that it has asked for."""

    def __init__(self, spec: ScheduleSpec | None = None, instance_id: str | None = None, **policy: object) -> None:
        hourly = ScheduleSpec(Interval(3600)) if spec is None else spec
        schedule = Schedule(hourly, ScheduleAction("report", instance_id=instance_id), SchedulePolicy(**policy))  # type: ignore[arg-type]
        self.state = create("s", schedule, START)
        self.started: list[StartRun] = []
        self.terminated: list[TerminateRun] = []

    def hear(self, event: ScheduleEvent, now: int) -> list[str]:
        """What is done about it, in short: "+1" starts the run of one o'clock, "-1" terminates it."""
        self.state, effects = transition(self.state, event, now)
        said = []
        for effect in effects:
            match effect:
                case StartRun():
                    self.started.append(effect)
                    said.append(f"+{hour(effect.time)}")
                case TerminateRun():
                    self.terminated.append(effect)
                    said.append(f"-{hour(self.run(effect.request_id))}")
                case RequestRejected():
                    said.append(effect.detail)
        return said

    def due(self, hours: float) -> list[str]:
        return self.hear(ScheduleDue(), START + round(hours * HOUR))

    def end(self, hours: float, outcome: RunOutcome = "completed", which: int = 0) -> list[str]:
        return self.hear(RunEnded(self.state.under_way[which].request_id, outcome), START + round(hours * HOUR))

    def run(self, request_id: str) -> int:
        return next(effect.time for effect in self.started if effect.request_id == request_id)

    @property
    def skipped(self) -> list[tuple[str, int]]:
        return [(skip.reason, skip.count) for skip in self.state.skipped]


def hour(time: int) -> str:
    return f"{(time - START) / HOUR:g}"


# --- overlap -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlap", "while_running", "after_the_end", "skipped"),
    [
        ("skip", [[], []], [[]], [("overlap", 2)]),
        ("buffer_one", [[], []], [["+2"], []], [("overlap", 1)]),
        ("buffer_all", [[], []], [["+2"], ["+3"], []], []),
        ("terminate", [["-1"], []], [["+3"], []], [("superseded", 1)]),
        ("allow_all", [["+2"], ["+3"]], [[], [], []], []),
    ],
)
def test_a_slow_run_by_every_policy(
    overlap: Overlap, while_running: list[list[str]], after_the_end: list[list[str]], skipped: list[tuple[str, int]]
) -> None:
    """The run of one o'clock is under way at two and three."""
    life = Life(overlap=overlap)
    assert life.due(1) == ["+1"]
    assert [life.due(2), life.due(3)] == while_running
    assert [life.end(3.5) for _ in after_the_end] == after_the_end
    assert life.skipped == skipped
    assert life.state.under_way == life.state.waiting == ()
    assert life.due(4) == ["+4"]


def test_the_table_says_something_for_every_policy_and_occupancy() -> None:
    assert set(ON_OVERLAP) == set(get_args(Overlap))
    assert all(set(verdicts) == set(Occupancy) for verdicts in ON_OVERLAP.values())


def test_a_skip_says_which_run_was_under_way() -> None:
    life = Life()
    life.due(1)
    life.due(2)
    (skip,) = life.state.skipped
    assert skip.detail == "the run of 2024-10-04T01:00:00Z was under way"
    assert (skip.first, skip.last) == (START + 2 * HOUR, START + 2 * HOUR)
    assert life.state.counts.skipped == 1


def test_terminating_is_asked_for_once_and_the_newest_waits() -> None:
    life = Life(overlap="terminate")
    life.due(1)
    assert [life.due(n) for n in (2, 3, 4)] == [["-1"], [], []]
    assert [run.time for run in life.state.waiting] == [START + 4 * HOUR]
    assert life.skipped == [("superseded", 1), ("superseded", 1)]
    assert life.end(4.1, "terminated") == ["+4"]
    assert life.terminated[0].reason == "the run of 2024-10-04T02:00:00Z is due"


def test_a_buffer_is_bounded_and_says_so() -> None:
    life = Life(ScheduleSpec(Interval(1)), overlap="buffer_all", catch_up_window=DAY / SECOND)
    while life.state.next_due is not None and life.state.next_due.time <= START + 1_100 * SECOND:
        life.hear(ScheduleDue(), START + 1_100 * SECOND)
    assert len(life.state.waiting) == MAX_WAITING
    assert life.skipped == [("full", 1_099 - MAX_WAITING)]
    assert "1,000 runs wait already" in life.state.skipped[0].detail


def test_runs_that_overlap_are_bounded_too() -> None:
    life = Life(ScheduleSpec(Interval(1)), overlap="allow_all")
    for second in range(1, MAX_UNDER_WAY + 6):
        life.hear(ScheduleDue(), START + second * SECOND)
    assert len(life.state.under_way) == MAX_UNDER_WAY
    assert life.skipped == [("full", 5)]
    assert len({effect.instance_id for effect in life.started}) == MAX_UNDER_WAY


# --- instance IDs and requests -------------------------------------------------------------------------------------


def test_runs_are_one_singleton_unless_they_may_overlap() -> None:
    assert [(start.instance_id, start.request_id) for start in started(Life())] == [
        ("s", f"schedule:s:{START}:{START + HOUR}"),
        ("s", f"schedule:s:{START}:{START + 2 * HOUR}"),
    ]
    assert [start.instance_id for start in started(Life(overlap="allow_all"))] == [
        "s:2024-10-04T01:00:00Z",
        "s:2024-10-04T02:00:00Z",
    ]
    assert started(Life(instance_id="{schedule_id}-{time}-x"))[0].instance_id == "s-2024-10-04T01:00:00Z-x"


def started(life: Life) -> list[StartRun]:
    life.due(1)
    life.end(1.5)
    life.due(2)
    return life.started


@pytest.mark.parametrize(
    ("instance_id", "complaint"),
    [
        ("{when}", "may contain {schedule_id} and {time}"),
        ("{time!r}", "may contain"),
        ("{time:x}", "may contain"),
        ("{{x}}", "may contain"),
        ("{", "is no template"),
        ("a/b", "must not contain"),
        ("", "must not be empty"),
        ("@x", "reserved for entities"),
        ("x" * 300, "at most 256 characters"),
    ],
)
def test_a_template_is_checked(instance_id: str, complaint: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        ScheduleAction("report", instance_id=instance_id)
    assert complaint in str(refused.value)


def test_what_does_not_fit_together_is_refused() -> None:
    spec = ScheduleSpec("0 3 * * *")
    with pytest.raises(InvalidSchedule, match=r"put \{time\} into instance_id, as in 'x:\{time\}'"):
        Schedule(spec, ScheduleAction("report", instance_id="x"), SchedulePolicy(overlap="allow_all"))
    with pytest.raises(InvalidSchedule, match="would have up to 258 characters"):
        create("s" * 230, Schedule(spec, ScheduleAction("report"), SchedulePolicy(overlap="allow_all")), START)
    with pytest.raises(InvalidSchedule, match="the schedule's ID: an instance ID must not contain"):
        create("a/b", Schedule(spec, ScheduleAction("report")), START)
    with pytest.raises(InvalidSchedule, match="overlap is one of skip, buffer_one, buffer_all, terminate, allow_all"):
        SchedulePolicy(overlap="cancel")  # type: ignore[arg-type]
    with pytest.raises(InvalidSchedule, match='write catch_up="none"'):
        SchedulePolicy(catch_up_window=0)
    with pytest.raises(InvalidSchedule, match="a definition's name"):
        ScheduleAction("")


def test_a_start_that_was_refused_is_a_skip_and_does_not_count() -> None:
    life = Life(ScheduleSpec(Interval(3600), max_runs=2))
    life.due(1)
    life.hear(RunRefused(life.started[0].request_id, "the ID 's' is taken"), START + HOUR)
    assert [(skip.reason, skip.detail) for skip in life.state.skipped] == [("refused", "the ID 's' is taken")]
    assert (life.state.counts.scheduled, life.state.under_way) == (0, ())
    assert life.due(2) == ["+2"]


def test_what_was_heard_before_changes_nothing() -> None:
    life = Life(overlap="buffer_all")
    life.due(1)
    request_id = life.started[0].request_id
    assert life.due(1) == []
    life.end(1.5)
    state = life.state
    for event in (RunEnded(request_id, "failed"), RunRefused(request_id, "late"), ScheduleDue()):
        assert life.hear(event, START + round(1.5 * HOUR)) == []
        assert life.state == state


# --- missed runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "ran", "skipped"),
    [
        ({}, ["+9"], [("missed", 8)]),
        ({"catch_up": "latest"}, ["+9"], [("missed", 8)]),
        ({"catch_up": "none"}, [], [("missed", 9)]),
        ({"catch_up_window": 3.5 * 3600}, ["+6", "+7", "+8", "+9"], [("missed", 5)]),
        ({"catch_up_window": 3.5 * 3600, "catch_up": "latest"}, ["+9"], [("missed", 5), ("superseded", 3)]),
        ({"catch_up_window": 365 * 86400}, [f"+{n}" for n in range(1, 10)], []),
    ],
)
def test_after_an_outage_of_nine_hours(
    policy: dict[str, object], ran: list[str], skipped: list[tuple[str, int]]
) -> None:
    """It is half a minute past nine when the hub is back."""
    life = Life(overlap="allow_all", **policy)
    assert life.due(9 + 30 / 3600) == ran
    assert life.skipped == skipped
    assert life.state.next_due is not None
    assert life.state.next_due.time == START + 10 * HOUR


def test_what_is_a_few_seconds_late_was_not_missed() -> None:
    assert Life(catch_up="none").due(1 + 10 / 3600) == ["+1"]
    assert Life(catch_up="none").due(1 + 11 / 3600) == []


def test_an_outage_of_years_is_dealt_with_at_once() -> None:
    life = Life(ScheduleSpec(Interval(1)))
    assert len(life.hear(ScheduleDue(), START + 3 * 365 * DAY)) == 1  # of a minute's, all but the first are skipped
    assert life.state.skipped[0].count == 1_000  # or more
    assert life.state.skipped[0].last == START + 3 * 365 * DAY - 61 * SECOND
    assert life.state.next_due is not None
    assert life.state.next_due.time == START + 3 * 365 * DAY + SECOND


def test_more_than_can_be_decided_at_once_come_with_the_next_event() -> None:
    life = Life(ScheduleSpec(Interval(1)), overlap="allow_all", catch_up_window=900)
    assert len(life.hear(ScheduleDue(), START + 500 * SECOND)) == MAX_DECIDED
    assert life.state.next_due is not None
    assert life.state.next_due.at == START + (MAX_DECIDED + 1) * SECOND
    life.hear(ScheduleDue(), START + 500 * SECOND)
    life.hear(ScheduleDue(), START + 500 * SECOND)
    assert len(life.started) == 500


def test_caught_up_runs_follow_the_overlap_policy() -> None:
    life = Life(overlap="buffer_all", catch_up_window=DAY / SECOND)
    assert life.due(3) == ["+1"]
    assert [life.end(3.1), life.end(3.2), life.end(3.3)] == [["+2"], ["+3"], []]


# --- limits, pauses ------------------------------------------------------------------------------------------------


def test_a_limited_number_of_runs() -> None:
    life = Life(ScheduleSpec(Interval(3600), max_runs=2), overlap="buffer_all")
    assert life.due(1) == ["+1"]
    assert not life.state.ended
    life.due(2)
    assert life.state.ended  # the second one waits
    assert life.due(3) == []
    assert [life.end(4), life.end(5)] == [["+2"], []]
    assert life.hear(ScheduleTriggered("t"), START + 6 * HOUR) == ["+6"]
    assert life.state.counts.scheduled == 2


def test_nothing_is_due_while_paused_and_nothing_of_it_later() -> None:
    life = Life()
    assert life.hear(SchedulePaused("holidays"), START + HOUR) == ["+1"]  # it was due before
    assert (life.state.paused, life.state.note, life.state.next_due) == (True, "holidays", None)
    assert life.due(2) == []
    assert life.hear(SchedulePaused(), START + 3 * HOUR) == ["the schedule is paused already"]
    life.end(3)
    life.hear(ScheduleResumed("back"), START + round(3.5 * HOUR))
    assert life.due(4) == ["+4"]
    assert (life.skipped, life.state.note, life.state.version) == ([], "back", 3)
    assert life.hear(ScheduleResumed(), START + 4 * HOUR) == ["the schedule is not paused"]


def test_a_jitter_that_ends_after_the_pause_is_due() -> None:
    life = Life(ScheduleSpec(Interval(3600), jitter=3000))
    assert life.state.next_due is not None
    at = life.state.next_due.at
    life.hear(SchedulePaused(), START + HOUR - 1)
    life.hear(ScheduleResumed(), at - 1)
    assert life.hear(ScheduleDue(), at) == ["+1"]
    other = Life(ScheduleSpec(Interval(3600), jitter=3000))
    other.hear(SchedulePaused(), START + HOUR - 1)
    other.hear(ScheduleResumed(), at)
    assert other.hear(ScheduleDue(), at) == []


def test_while_paused_what_waits_by_schedule_waits_on() -> None:
    life = Life(overlap="buffer_all")
    life.due(1)
    life.due(2)
    life.hear(SchedulePaused(), START + round(2.5 * HOUR))
    life.hear(ScheduleTriggered("now"), START + round(2.6 * HOUR))
    assert life.end(2.7) == ["+2.6"]
    assert life.end(2.8) == []
    assert life.hear(ScheduleResumed(), START + round(2.9 * HOUR)) == ["+2"]


def test_a_failure_pauses_if_it_shall() -> None:
    life = Life(pause_on_failure=True)
    life.due(1)
    life.end(1.5, "failed")
    assert (life.state.paused, life.state.note) == (True, "the run of 2024-10-04T01:00:00Z failed")
    assert life.due(2) == []


def test_what_became_of_the_last_runs_is_kept() -> None:
    life = Life()
    outcomes: list[RunOutcome] = ["completed", "failed", "terminated", "lost"]
    for n in range(1, MAX_RECENT + 10):
        life.due(n)
        life.end(n + 0.5, outcomes[n % 4])
    recent = life.state.recent
    assert len(recent) == MAX_RECENT
    assert recent[-1].outcome == outcomes[(MAX_RECENT + 9) % 4]
    assert recent[-1].ended_at - recent[-1].started_at == HOUR // 2
    counts = life.state.counts
    assert counts.scheduled == counts.completed + counts.failed + counts.terminated + counts.lost == MAX_RECENT + 9


# --- requests from outside -----------------------------------------------------------------------------------------


def test_a_trigger_starts_by_the_policy_or_its_own() -> None:
    life = Life()
    assert life.hear(ScheduleTriggered("a"), START + 1) == [f"+{hour(START + 1)}"]
    assert life.hear(ScheduleTriggered("a"), START + 2) == []  # once
    rejected = life.hear(ScheduleTriggered("b"), START + 2)
    assert rejected == ["not triggered: the run of 2024-10-04T00:00:00.000001Z was under way"]
    assert life.hear(ScheduleTriggered("b", "buffer_all"), START + 2) == []
    assert life.hear(ScheduleTriggered("c", "allow_all"), START + 3) == [
        "all runs of this schedule have one instance ID, so they cannot overlap"
    ]
    assert len(life.end(0.5)) == 1
    assert (life.state.counts.requested, life.state.counts.scheduled) == (2, 0)


def test_an_update_takes_effect_from_now_on() -> None:
    life = Life()
    other = Schedule(ScheduleSpec(Interval(7200)), ScheduleAction("other"))
    assert life.hear(ScheduleUpdated(other, 1), START + HOUR) == ["+1"]  # was due by the old one
    assert (life.state.version, life.state.schedule) == (2, other)
    life.end(1.5)
    assert life.hear(ScheduleUpdated(other, 1), START + 2 * HOUR) == [
        "the schedule has version 2 by now, not 1: read it again"
    ]
    assert life.due(2) == ["+2"]
    never = Schedule(ScheduleSpec(Interval(60), end=datetime(1970, 1, 2)), ScheduleAction("other"))
    assert life.hear(ScheduleUpdated(never), START + 2 * HOUR)[0].startswith("the schedule would never fire")
    assert life.state.schedule == other


def test_an_update_of_the_input_loses_no_time_that_a_jitter_delays() -> None:
    life = Life(ScheduleSpec(Interval(3600), jitter=3000))
    assert life.state.next_due is not None
    due = life.state.next_due
    schedule = Schedule(life.state.schedule.spec, ScheduleAction("report", '"new"'))
    life.hear(ScheduleUpdated(schedule), due.at - 1)
    assert life.state.next_due == due
    changed = Schedule(ScheduleSpec(Interval(3600), jitter=10), ScheduleAction("report"))
    life.hear(ScheduleUpdated(changed), due.at - 1)
    assert life.skipped == [("updated", 1)]


def test_an_ended_schedule_lives_on_by_an_update() -> None:
    life = Life(ScheduleSpec(Interval(3600), max_runs=1))
    life.due(1)
    assert life.state.ended
    life.hear(
        ScheduleUpdated(Schedule(ScheduleSpec(Interval(3600), max_runs=2), ScheduleAction("report"))),
        START + 90 * MINUTE,
    )
    life.end(1.6)
    assert life.due(2) == ["+2"]


def test_a_backfill_runs_one_after_the_other_beside_the_schedule() -> None:
    life = Life(overlap="buffer_one")
    backfill = ScheduleBackfilled("b", START - 3 * HOUR, START - HOUR)
    assert life.hear(backfill, START + 1) == ["+-3"]
    assert life.hear(backfill, START + 2) == []
    assert life.due(1) == []
    assert [life.end(1.1), life.end(1.2), life.end(1.3), life.end(1.4)] == [["+1"], ["+-2"], ["+-1"], []]
    assert life.started[0].request_id == f"backfill:s:{START}:b:{START - 3 * HOUR}"
    assert life.state.counts.requested == 3


def test_a_backfill_all_at_once() -> None:
    life = Life(overlap="allow_all")
    backfill = ScheduleBackfilled("b", START - 3 * HOUR, START - HOUR, "allow_all")
    assert life.hear(backfill, START + 1) == ["+-3", "+-2", "+-1"]
    assert Life().hear(backfill, START + 1) == [
        "all runs of this schedule have one instance ID, so they cannot overlap"
    ]


def test_where_runs_may_overlap_a_backfill_waits_for_its_own_kind_only() -> None:
    life = Life(overlap="allow_all")
    life.due(1)
    assert life.hear(ScheduleBackfilled("b", START - 2 * HOUR, START - HOUR), START + HOUR + 1) == ["+-2"]
    assert life.end(1.5, which=1) == ["+-1"]


@pytest.mark.parametrize(
    ("begin", "end", "complaint"),
    [
        (START, START - HOUR, "a backfill is of times past"),
        (START, START + 2 * HOUR, "a backfill is of times past"),
        (START - 10 * MINUTE, START - MINUTE, "no time of the schedule is between begin and end"),
        (START - 2_000 * HOUR, START, "more than 1000 times are between begin and end"),
    ],
)
def test_a_backfill_that_cannot_be_is_refused(begin: int, end: int, complaint: str) -> None:
    life = Life()
    state = life.state
    (said,) = life.hear(ScheduleBackfilled("b", begin, end), START + 1)
    assert complaint in said
    assert life.state == state


def test_a_new_schedule_begins_after_it_is_created() -> None:
    assert Life().state.next_due is not None
    assert Life().due(0) == []
    paused = create("s", Schedule(ScheduleSpec("0 3 * * *"), ScheduleAction("r")), START, paused=True, note="not yet")
    assert (paused.next_due, paused.paused, paused.ended) == (None, True, False)


def test_a_year_of_nights_over_both_changes_of_the_clock() -> None:
    life = Life(ScheduleSpec("30 2 * * *", time_zone="Europe/Berlin"))
    for _ in range(365):
        assert life.state.next_due is not None
        life.hear(ScheduleDue(), life.state.next_due.at)
        life.hear(RunEnded(life.state.under_way[0].request_id, "completed"), life.state.cursor + HOUR)
    assert life.state.counts.completed == len({start.time for start in life.started}) == 365
