"""The states of an instance in memory: which follow each other, and that it rests in one of them only."""

from __future__ import annotations

import pytest

from durable_ray.actors.instances.active_instance import (
    TRANSITIONS,
    ActiveInstance,
    InstanceEvent,
    InstanceState,
    Obstacle,
    PendingMessage,
)
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.store.records import NewInstance
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.history.snapshot import fold


def active(start_at: int | None = None) -> ActiveInstance:
    new = NewInstance("i", "e1", "n", "h", "shared", 1000, start_at=start_at)
    return ActiveInstance(InstanceFactory.row(new), fold("i", ()))


def after(*events: InstanceEvent) -> ActiveInstance:
    one = active()
    for event in events:
        one.on(event)
    return one


PATHS = {
    InstanceState.IDLE: [],
    InstanceState.QUEUED: [InstanceEvent.ENQUEUED],
    InstanceState.READING: [InstanceEvent.READ],
    InstanceState.COMMITTING: [InstanceEvent.ENQUEUED, InstanceEvent.TAKEN, InstanceEvent.SUBMITTED],
    InstanceState.MOVING: [InstanceEvent.MOVED],
    InstanceState.DROPPED: [InstanceEvent.DROPPED],
}


def test_every_state_can_be_reached_and_left_only_as_the_table_says() -> None:
    assert TRANSITIONS.keys() == PATHS.keys() == set(InstanceState)
    for state, path in PATHS.items():
        for event in InstanceEvent:
            one = after(*path)
            assert one.state is state
            if event in TRANSITIONS[state]:
                assert one.on(event) is (TRANSITIONS[state][event] is not state)
                assert one.state is TRANSITIONS[state][event]
            else:
                with pytest.raises(KeyError):
                    one.on(event)
                assert one.state is state


def test_it_is_queued_once_and_not_while_it_is_read_or_committed() -> None:
    queued = [state for state, path in PATHS.items() if after(*path).on(InstanceEvent.ENQUEUED)]
    assert queued == [InstanceState.IDLE]


def test_one_that_was_dropped_stays_so_whatever_comes() -> None:
    one = after(InstanceEvent.DROPPED)
    assert not any(one.on(event) for event in InstanceEvent)
    assert one.state is InstanceState.DROPPED


def test_it_rests_only_where_nothing_is_due() -> None:
    assert active().at_rest
    assert [state for state, path in PATHS.items() if after(*path).at_rest] == [InstanceState.IDLE]
    for obstacle in Obstacle:
        stuck = active()
        stuck.obstacle = obstacle
        assert not stuck.at_rest
    unread = active()
    unread.dirty = True
    assert not unread.at_rest


def test_its_status_is_that_of_its_row_before_the_first_turn_and_of_its_history_after_it() -> None:
    one = active()
    assert one.status == "Pending"
    one.snapshot.apply(ev.ExecutionStarted("n", "e1", None))
    assert one.status == "Pending", "its first turn is not durable yet"
    one.turn += 1
    assert one.status == "Running"


def test_it_may_begin_when_its_time_has_come_or_to_be_terminated() -> None:
    later = active(start_at=2000)
    assert (later.next_due(), later.may_begin(1999), later.may_begin(2000)) == (2000, False, True)
    later.pending_messages.append(PendingMessage(Message("m", ev.TerminateRequested(None))))
    assert later.may_begin(1999)
