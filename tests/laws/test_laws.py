"""The laws of replay, tried on every shape of the corpus with fates and cuts that hypothesis chooses.

Held here: replaying is a function; a history may be read in any pieces; what was once decided is decided again; memory
is only a cache; bundling of turns decides nothing; and history that was tampered with is noticed.
Not held here: what single calls do (tests/unit), and the order in other processes (`test_order.py`).
"""

from __future__ import annotations

import gc
import random
import sys
import warnings
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durable_ray.orchestrations.engine.commands import Decision, Raised
from durable_ray.orchestrations.engine.journal import RECORDS
from durable_ray.orchestrations.engine.replay import Execution, replay
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.history.snapshot import fold
from durable_ray.orchestrations.history.transition import Append, settle
from durable_ray.orchestrations.values.failures import NonDeterminismError
from tests.laws.corpus import CORPUS
from tests.laws.world import Anything, JsonCodec, Shape, World

shapes = st.sampled_from(CORPUS)
fates = st.integers(0, 40)
law = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def lived(shape: Shape, fate: int) -> World:
    """A finished instance; the same fate is lived once."""
    world = World(shape, fate, most=1 + fate % 4).run()
    assert world.snapshot.finished, f"{shape.name} does not end under fate {fate}"
    return world


def again(shape: Shape, history: list[Event], new: list[Event] = []) -> Decision:  # noqa: B006 - not changed
    return replay("world", shape.orchestrator, JsonCodec(), history, new)


def essence(decision: Decision) -> tuple[Any, ...]:
    """A decision without traceback texts, which name the engine's own frames."""
    outcome = decision.outcome
    if isinstance(outcome, Raised):
        return "raised", outcome.failure.message, outcome.task_ids, decision.custom_status
    return outcome, decision.custom_status


@pytest.mark.parametrize("shape", CORPUS, ids=lambda shape: shape.name)
def test_every_shape_ends_and_replays_to_the_same_end(shape: Shape) -> None:
    for fate in range(4):
        world = lived(shape, fate)
        decision = again(shape, world.history)
        assert decision.commands == ()
        assert essence(decision) == essence(Decision((), world.outcome, world.status))


@law
@given(shapes, fates)
def test_replay_is_a_function(shape: Shape, fate: int) -> None:
    history = lived(shape, fate).history
    first, second = again(shape, history), again(shape, history)
    assert first.commands == second.commands == ()
    assert essence(first) == essence(second)


@law
@given(shapes, fates, st.data())
def test_a_history_may_be_read_in_any_two_pieces(shape: Shape, fate: int, data: st.DataObject) -> None:
    history = lived(shape, fate).history
    cut = data.draw(st.integers(0, len(history)))
    execution = Execution("world", shape.orchestrator, JsonCodec())
    execution.advance(history[:cut], replaying=True)
    rest = execution.advance(history[cut:], replaying=True)
    execution.close()
    assert rest.commands == ()
    assert essence(rest) == essence(again(shape, history))


@law
@given(shapes, fates, st.data())
def test_what_was_decided_is_decided_again(shape: Shape, fate: int, data: st.DataObject) -> None:
    turns = lived(shape, fate).turns
    at = data.draw(st.integers(0, len(turns) - 1))
    before = [event for turn in turns[:at] for event in turn]
    new = [event for event in turns[at] if type(event) not in RECORDS and not isinstance(event, _ENDINGS)]
    decision = again(shape, before, new)
    turn = settle(fold("world", before + new), decision, Append(0), Anything())
    assert [tamed(event) for event in new + turn.events] == [tamed(event) for event in turns[at]]


@law
@given(shapes, fates, st.sets(st.integers(0, 30)))
def test_memory_is_only_a_cache(shape: Shape, fate: int, evicted: set[int]) -> None:
    turns = iter(range(10_000))
    world = World(shape, fate, most=1 + fate % 4, evict=lambda: next(turns) in evicted).run()
    kept = lived(shape, fate)
    assert [[list(map(tamed, turn)) for turn in turns] for turns in world.executions] == [
        [list(map(tamed, turn)) for turn in turns] for turns in kept.executions
    ]


@law
@given(shapes.filter(lambda shape: shape.timeless), fates, st.randoms(use_true_random=False))
def test_how_turns_bundle_events_decides_nothing(shape: Shape, fate: int, chance: random.Random) -> None:
    world = lived(shape, fate)
    inputs = [event for event in world.history if not isinstance(event, (*_ENDINGS, *RECORDS, ev.TurnStarted))]
    execution = Execution("world", shape.orchestrator, JsonCodec())
    decision, at = Decision(), world.snapshot.at
    while inputs:
        size = chance.randint(1, 5)
        decision = execution.advance([ev.TurnStarted(at), *inputs[:size]])
        del inputs[:size]
        if decision.outcome is not None:
            break
    execution.close()
    assert essence(decision) == essence(Decision((), world.outcome, world.status))


@law
@given(shapes, fates, st.data())
def test_a_record_that_is_missing_or_renamed_is_noticed(shape: Shape, fate: int, data: st.DataObject) -> None:
    history = lived(shape, fate).history
    places = [place for place, event in enumerate(history) if type(event) in RECORDS]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    record: Any = history[place]
    other = ev.EventSent(record.task_id, "nobody", "nothing")
    for tampered in ([], [other], [record, ev.ActivityScheduled(90_000, "extra")]):
        with pytest.raises(NonDeterminismError, match="event #"):
            again(shape, [*history[:place], *tampered, *history[place + 1 :]])


@law
@given(shapes, fates, st.data())
def test_putting_away_is_silent_and_leaves_nothing_running(shape: Shape, fate: int, data: st.DataObject) -> None:
    history = lived(shape, fate).history
    cut = data.draw(st.integers(0, len(history)))
    complaints: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, complaints.append
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            execution = Execution("world", shape.orchestrator, JsonCodec())
            execution.advance(history[:cut], replaying=True)
            execution.close()
            execution.close()
            del execution
            gc.collect(0)
    finally:
        sys.unraisablehook = hook
    assert (complaints, warned) == ([], [])


_ENDINGS = (ev.ExecutionCompleted, ev.ExecutionFailed, ev.ContinuedAsNew)


def tamed(event: Event) -> object:
    """An event without traceback texts: how deep the engine's stack was is not part of any law."""
    return f"failed: {event.failure.message}" if isinstance(event, ev.ExecutionFailed) else event
