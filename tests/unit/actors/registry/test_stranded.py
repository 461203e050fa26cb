"""The checker finds what nothing will wake: each kind of forgotten instance is made by hand, and found."""

from __future__ import annotations

from typing import Any

import pytest

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import InboxMessage, NewInstance
from durable_ray.actors.store.writes import CommitTurn, StartInstance
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event, encode_events
from durable_ray.orchestrations.history.events import Event, ParentAddress
from tests.stranded import stranded

HOST, AT = "partition-0", 1_000


@pytest.fixture
def store() -> Any:
    opened = open_store("sqlite://")
    yield opened
    opened.close()


def start(store: Store, instance_id: str, **more: Any) -> None:
    store.commit(None, [StartInstance(NewInstance(instance_id, "x", "hello", HOST, "shared", AT, **more))])


def turn(store: Store, instance_id: str, *events: Event, status: str = "Running", **more: Any) -> None:
    history = [ev.TurnStarted(AT), ev.ExecutionStarted("hello", "x"), *events]
    body, count = encode_events(history), len(history)
    given: dict[str, Any] = {"old_status": "Pending", "status": status, "updated_at": AT, "first_event": 0}
    write = CommitTurn(instance_id, "x", HOST, 0, "hello", body=body, events=count, **(given | more))
    store.commit(None, [write])


def test_a_waiting_instance_is_not_forgotten(store: Store) -> None:
    start(store, "a")
    turn(store, "a")
    assert stranded(store, AT, at_rest=True) == []


def test_one_that_never_began(store: Store) -> None:
    start(store, "a")
    assert stranded(store, AT) == []
    assert "did not have it" in stranded(store, AT, at_rest=True)[0]


def test_a_timer_that_its_row_does_not_know(store: Store) -> None:
    start(store, "a")
    turn(store, "a", ev.TimerCreated(1, 5_000))
    assert "something due at 5000" in stranded(store, AT)[0]


def test_a_timer_that_did_not_fire(store: Store) -> None:
    start(store, "a")
    turn(store, "a", ev.TimerCreated(1, 5_000), next_due=5_000)
    assert stranded(store, 4_999, at_rest=True) == []
    assert "did nothing" in stranded(store, 5_000, at_rest=True)[0]


def test_an_activity_that_nobody_runs(store: Store) -> None:
    start(store, "a")
    turn(store, "a", ev.ActivityScheduled(1, "work"), outstanding=1)
    assert stranded(store, AT) == []
    assert "activities [1]" in stranded(store, AT, at_rest=True)[0]


def test_an_activity_that_its_row_does_not_know(store: Store) -> None:
    start(store, "a")
    turn(store, "a", ev.ActivityScheduled(1, "work"))
    assert "its row says 0" in stranded(store, AT)[0]


def test_a_message_that_nobody_takes(store: Store) -> None:
    start(store, "a")
    turn(store, "a")
    store.commit(None, [InboxMessage("a", "m", encode_event(ev.EventRaised("go")))])
    assert stranded(store, AT) == []
    assert "1 messages that nobody takes" in stranded(store, AT, at_rest=True)[0]


def test_a_child_that_will_never_answer(store: Store) -> None:
    start(store, "a")
    turn(store, "a", ev.ChildScheduled(1, "kid", "a-kid"))
    assert "which is absent" in stranded(store, AT)[0]
    start(store, "a-kid")
    assert "which is another's" in stranded(store, AT)[0]


def test_a_child_that_ended_without_a_word(store: Store) -> None:
    start(store, "a")
    turn(store, "a", ev.ChildScheduled(1, "kid", "a-kid"))
    start(store, "a-kid", parent=ParentAddress("a", "x", 1))
    assert stranded(store, AT) == []
    turn(store, "a-kid", ev.ExecutionCompleted(), status="Completed", completed_at=AT)
    assert "which is Completed and has sent no answer" in stranded(store, AT)[0]
    told = InboxMessage("a", "x:done", encode_event(ev.ChildCompleted(1)))
    store.commit(None, [told])
    assert stranded(store, AT) == []


def test_a_status_that_its_history_contradicts(store: Store) -> None:
    start(store, "a")
    turn(store, "a", status="Suspended")
    assert "is Running by its history" in stranded(store, AT)[0]
