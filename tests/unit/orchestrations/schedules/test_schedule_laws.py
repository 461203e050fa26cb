"""Laws of a schedule's life, over random orders of events: nothing is run twice, nothing is lost, nothing grows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from durable_ray.orchestrations.schedules import occurrences
from durable_ray.orchestrations.schedules.documents import decode_state, encode_schedule
from durable_ray.orchestrations.schedules.schedule import Schedule, ScheduleAction, SchedulePolicy
from durable_ray.orchestrations.schedules.spec import Interval, ScheduleSpec
from durable_ray.orchestrations.schedules.state import (
    MAX_RECENT,
    MAX_REQUESTS,
    RequestRejected,
    RunEnded,
    RunRefused,
    ScheduleBackfilled,
    ScheduleDue,
    ScheduleEvent,
    SchedulePaused,
    ScheduleResumed,
    ScheduleState,
    ScheduleTriggered,
    ScheduleUpdated,
    StartRun,
)
from durable_ray.orchestrations.schedules.transition import create, transition
from durable_ray.orchestrations.values.times import SECOND

BEGIN = 20_000 * 86_400 * SECOND


@dataclass
class World:
    """A schedule that starts instances, and everything it was seen to do."""

    state: ScheduleState
    now: int = BEGIN
    starts: list[StartRun] = field(default_factory=list)
    alive: dict[str, int] = field(default_factory=dict)

    def hear(self, event: ScheduleEvent) -> None:
        before = self.state
        self.state, effects = transition(before, event, self.now)
        assert decode_state(encode_schedule(self.state)) == self.state
        if any(isinstance(effect, RequestRejected) for effect in effects):
            assert self.state is before
            assert len(effects) == 1
            return
        for effect in effects:
            if isinstance(effect, StartRun):
                if self.state.schedule.policy.overlap != "allow_all":
                    assert not self.alive, "a run begins while another is under way"
                self.starts.append(effect)
                self.alive[effect.request_id] = self.now
        assert set(self.alive) == {run.request_id for run in self.state.under_way}
        self.check(before)

    def end(self, event: RunEnded | RunRefused) -> None:
        del self.alive[event.request_id]
        self.hear(event)

    def check(self, before: ScheduleState) -> None:
        state = self.state
        assert state.cursor >= before.cursor
        assert state.version >= before.version
        assert max(Counter(start.request_id for start in self.starts).values(), default=0) <= 1
        times = [start.time for start in self.starts if start.request_id.startswith("schedule:")]
        assert len(times) == len(set(times)), "a time due was started twice"
        assert all(time <= state.cursor for time in times)
        assert len(state.recent) <= MAX_RECENT
        assert len(state.skipped) <= MAX_RECENT
        assert len(state.requests) <= MAX_REQUESTS
        if state.paused:
            assert state.next_due is None
        elif state.next_due is not None:
            assert state.next_due.time > state.cursor
        limit = state.schedule.spec.max_runs
        assert limit is None or state.runs_used <= limit


POLICIES = st.builds(
    SchedulePolicy,
    st.sampled_from(["skip", "buffer_one", "buffer_all", "terminate", "allow_all"]),
    st.sampled_from(["all", "latest", "none"]),
    pause_on_failure=st.booleans(),
)
SPECS = st.builds(
    ScheduleSpec,
    st.sampled_from(["*/10 * * * * *", "* * * * *", "7,8,9,40 * * * * *"]),
    jitter=st.sampled_from([0.0, 20.0, 100.0]),
    max_runs=st.sampled_from([None, None, 3]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["wait", "due", "due", "end", "end", "refuse", "pause", "resume", "trigger", "update", "backfill", "late"]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


def world_of(spec: ScheduleSpec, policy: SchedulePolicy) -> World:
    return World(create("s", Schedule(spec, ScheduleAction("report"), policy), BEGIN))


@settings(max_examples=80)
@given(SPECS, POLICIES, STEPS)
def test_nothing_is_run_twice_and_one_at_a_time_is_one_at_a_time(
    spec: ScheduleSpec, policy: SchedulePolicy, steps: list[tuple[str, int]]
) -> None:
    world = world_of(spec, policy)
    for number, (step, value) in enumerate(steps):
        match step:
            case "wait":
                world.now += value * 3 * SECOND
            case "late":
                world.now += value * 50 * SECOND
                world.hear(ScheduleDue())
            case "due":
                if world.state.next_due is not None:
                    world.now = max(world.now, world.state.next_due.at)
                world.hear(ScheduleDue())
            case "end" if world.alive:
                world.end(
                    RunEnded(sorted(world.alive)[value % len(world.alive)], "failed" if value == 5 else "completed")
                )
            case "refuse" if world.alive:
                world.end(RunRefused(sorted(world.alive)[0], "taken"))
            case "pause":
                world.hear(SchedulePaused())
            case "resume":
                world.hear(ScheduleResumed())
            case "trigger":
                world.hear(ScheduleTriggered(f"t{number if value else 0}"))
            case "update":
                other = spec if value % 2 else ScheduleSpec(Interval(30 + value))
                world.hear(ScheduleUpdated(Schedule(other, ScheduleAction("report", str(number)), policy)))
            case "backfill":
                world.hear(ScheduleBackfilled(f"b{number}", BEGIN - value * 20 * SECOND, BEGIN))
        world.hear(ScheduleDue())


@settings(max_examples=60)
@given(SPECS, POLICIES, st.lists(st.tuples(st.booleans(), st.integers(1, 90)), max_size=30))
def test_no_time_within_the_catch_up_window_is_lost(
    spec: ScheduleSpec, policy: SchedulePolicy, steps: list[tuple[bool, int]]
) -> None:
    """Every time due is started, waits, or was skipped: for a missed one, only outside the window."""
    world = world_of(ScheduleSpec(spec.when, jitter=spec.jitter), SchedulePolicy(policy.overlap, policy.catch_up))
    world.hear(ScheduleDue())
    for end, seconds in steps:
        world.now += seconds * SECOND
        before = world.state
        world.hear(ScheduleDue())
        decided = list(occurrences.between(spec, before.cursor + 1, world.state.cursor))
        accepted = {start.time for start in world.starts} | {run.time for run in world.state.waiting}
        skipped = world.state.counts.skipped - before.counts.skipped
        replaced = len({run.time for run in before.waiting} - accepted)
        assert len([time for time in decided if time not in accepted]) + replaced == skipped
        for note in world.state.skipped:
            if note.reason == "missed":
                assert note.last < note.at - (10 if policy.catch_up == "none" else 60) * SECOND or spec.jitter
        # What is due is decided by now, whatever it was.
        assert world.state.next_due is not None
        assert world.state.next_due.at > world.now
        if end and world.alive:
            world.end(RunEnded(sorted(world.alive)[0], "completed"))


@settings(max_examples=60)
@given(SPECS, POLICIES, STEPS)
def test_a_schedule_is_the_same_whether_it_was_stored_in_between(
    spec: ScheduleSpec, policy: SchedulePolicy, steps: list[tuple[str, int]]
) -> None:
    """The same events at the same times lead to the same state and effects: nothing else is looked at."""
    first = second = create("s", Schedule(spec, ScheduleAction("report"), policy), BEGIN)
    now = BEGIN
    for step, value in steps:
        now += value * 7 * SECOND
        event: ScheduleEvent = ScheduleTriggered(f"t{value}") if step == "trigger" else ScheduleDue()
        if step == "end" and first.under_way:
            event = RunEnded(first.under_way[0].request_id, "completed")
        first, effects = transition(first, event, now)
        second, same = transition(decode_state(encode_schedule(second)), event, now)
        assert (first, effects) == (second, same)
