"""Queued instances are dequeued by priority and age, up to the limit; an emptied hub is empty and its hosts fenced."""

from __future__ import annotations

import pytest

from durable_ray.actors.store.contract import Fenced, Store
from durable_ray.actors.store.records import DefinitionRow, InstanceQuery
from durable_ray.actors.store.writes import FinishUnstarted, StartInstance
from tests.store_contract.building import HOST, advance, made, pause, put, row, start

NOW = 5_000


def queued(instance_id: str, created_at: int = 1000, priority: int = 0, start_at: int | None = None) -> StartInstance:
    return start(instance_id, created_at=created_at, priority=priority, start_at=start_at, queued=True)


def test_the_first_are_let_in_until_the_limit_is_reached(store: Store) -> None:
    made(store, queued("old", 1), queued("older", 0), queued("urgent", 9, priority=1), queued("young", 3))
    assert sorted(store.release("hello", 2, NOW)) == [(HOST, "older"), (HOST, "urgent")]
    # They have not begun, but their places are taken.
    assert store.release("hello", 2, NOW) == ()
    advance(store, "urgent")
    advance(store, "urgent", "Suspended")
    assert store.release("hello", 2, NOW) == ()
    advance(store, "urgent", "Running")
    advance(store, "urgent", "Completed")
    assert store.release("hello", 2, NOW) == ((HOST, "old"),)
    assert store.release("another", 2, NOW) == ()


def test_a_dequeued_instance_is_due_at_once(store: Store) -> None:
    made(store, queued("now"), queued("was_delayed", start_at=4_000), queued("later", start_at=9_000))
    assert store.due(HOST, 99_000, 10) == ()
    assert {name for _, name in store.release("hello", 5, NOW)} == {"now", "was_delayed"}
    assert {name for name, _ in store.due(HOST, NOW, 10)} == {"now", "was_delayed"}
    rows = store.rows(["now", "was_delayed", "later"])
    assert [rows[name].start_at for name in ("now", "was_delayed", "later")] == [None, 4_000, 9_000]
    assert [rows[name].queued for name in ("now", "was_delayed", "later")] == [False, False, True]
    assert [name for _, name in store.release("hello", 5, 9_000)] == ["later"]


def test_an_emptied_hub_is_empty_and_its_hosts_are_fenced(store: Store) -> None:
    store.acquire_hub("hub", "cluster", "address", 0, 1, "{}")
    registry, host = store.acquire_lease("registry"), store.acquire_lease(HOST)
    store.put_definitions([DefinitionRow("orchestrator", "hello", "", "c1", "value", b"body")])
    made(store, start("a", input="i" * 5000, tags={"k": "v"}), start("b"))
    advance(store, "a")
    made(store, put("a"))
    assert store.erase("registry") == 2
    assert store.query(InstanceQuery(), 10).rows == ()
    assert (store.counts(), store.definitions(), store.inbox(["a"]), store.history("a")) == ({}, (), (), ())
    with pytest.raises(Fenced):
        store.commit(host, [start("c")])
    store.commit(registry, [start("c"), start("d", host="d", placement="dedicated")])
    assert set(store.rows(["a", "c", "d"])) == {"c", "d"}


def test_who_is_suspended_before_it_is_let_in_counts_as_waiting(store: Store) -> None:
    made(store, queued("a", 1), queued("b", 2), queued("c", 3), pause("b"))
    assert store.counts() == {("hello", "Pending"): 2, ("hello", "Suspended"): 1}
    assert store.release("hello", 2, NOW) == ((HOST, "a"), (HOST, "c"))
    made(store, pause("b", "Pending"))
    assert store.release("hello", 2, NOW) == ()
    assert store.release("hello", 3, NOW) == ((HOST, "b"),)


def test_an_instance_that_ends_is_queued_no_longer(store: Store) -> None:
    made(store, queued("a"), queued("b"), FinishUnstarted("a", "a-x1", "Terminated", 9, "", 0))
    advance(store, "b", "Terminated")
    assert [row(store, name).queued for name in ("a", "b")] == [False, False]
    assert store.release("hello", 5, NOW) == ()
