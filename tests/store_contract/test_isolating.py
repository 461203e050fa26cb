"""An instance of a partition that is given a host of its own takes along all by which its host is known."""

from __future__ import annotations

from typing import Any

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import Permit
from durable_ray.actors.store.sql.checks import check
from durable_ray.actors.store.writes import Stale
from tests.store_contract.building import HOST, advance, made, put, row, start, turn

OWN = "instance:a"


def test_it_goes_with_its_messages_counters_and_permits(store: Any) -> None:
    made(store, start("a"), start("b"))
    advance(store, "a", "Running", outstanding=1)
    made(store, put("a"), put("b"))
    store.permit(None, [Permit("crawl", HOST, "a", "a-x1", 1, 1)], [], {"crawl": 1})
    before = row(store, "a")
    assert store.isolate("a", HOST, OWN)
    after = row(store, "a")
    assert (after.host, after.placement, after.resident) == (OWN, "dedicated", False)
    assert store.with_messages(HOST, 10) == ("b",)
    assert [waiting.instance_id for waiting in store.dedicated_waiting(10_000, 10)] == ["a"]
    assert [permit.instance_id for permit, _ in store.permits(OWN)] == ["a"]
    assert store.permits(HOST) == ()
    assert check(store) == []
    answer = made(store, turn(before))
    assert isinstance(answer, Stale), "what its old host had under way is not made"
    advance(store, "a", "Completed")
    assert check(store) == []


def test_one_that_never_had_a_turn_is_admitted_and_a_sleeper_stays_asleep_until_it_is_due(store: Any) -> None:
    made(store, start("a"), start("b"))
    advance(store, "b", "Running", next_due=50_000)
    assert store.isolate("a", HOST, OWN)
    assert store.isolate("b", HOST, "instance:b")
    assert [waiting.instance_id for waiting in store.dedicated_waiting(10_000, 10)] == ["a"]
    assert [waiting.instance_id for waiting in store.dedicated_waiting(60_000, 10)] == ["a", "b"]


def test_neither_one_that_has_ended_nor_one_that_lives_elsewhere(store: Store) -> None:
    made(store, start("a"), start("b"))
    advance(store, "a", "Completed")
    before = [row(store, instance_id) for instance_id in ("a", "b")]
    assert not store.isolate("a", HOST, OWN)
    assert not store.isolate("b", "partition-7", "instance:b")
    assert not store.isolate("absent", HOST, "instance:absent")
    assert [row(store, instance_id) for instance_id in ("a", "b")] == before
    assert check(store) == []
