"""Letting go: a purge takes finished instances with all they own and nothing else; receipts expire."""

from __future__ import annotations

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import InstanceQuery
from durable_ray.actors.store.writes import Receipt, StartInstance
from tests.store_contract.building import advance, dedicated, made, put, start


def test_a_purged_instance_is_gone_with_all_it_owned(store: Store) -> None:
    made(store, start("a", input="i" * 5000, tags={"k": "v"}), start("b"))
    advance(store, "a")
    made(store, put("a"))
    advance(store, "a", "Completed")
    assert store.purge(["a", "nobody", "a"]) == 1
    assert store.load(["a"]) == {}
    assert store.history("a") == ()
    assert store.query(InstanceQuery(tags={"k": "v"}), 10).rows == ()
    assert store.counts() == {("hello", "Pending"): 1}
    assert store.purge(["a"]) == 0


def test_live_instances_are_left_alone(store: Store) -> None:
    made(store, start("a"), start("b"), start("c"))
    advance(store, "b")
    advance(store, "c", "Suspended")
    before = store.load(["a", "b", "c"])
    assert store.purge(["a", "b", "c"]) == 0
    assert store.load(["a", "b", "c"]) == before


def test_a_purged_id_is_free(store: Store) -> None:
    made(store, StartInstance(dedicated("d")))
    advance(store, "d", "Failed")
    store.purge(["d"])
    advance_from_scratch = made(store, start("d", if_exists="reject_finished"))
    assert advance_from_scratch.replaced is None


def test_a_large_purge_takes_all(store: Store) -> None:
    names = [f"i{n}" for n in range(450)]
    made(store, *(start(name) for name in names))
    for name in names[:3]:
        advance(store, name, "Completed")
    assert store.purge(names) == 3
    assert store.purge([]) == 0


def test_what_expired_first_is_named_first(store: Store) -> None:
    for name, expires in (("a", 300), ("b", 100), ("c", None), ("d", 200)):
        made(store, start(name))
        advance(store, name, "Completed", expires=expires)
    assert store.expired(99, 10) == ()
    assert store.expired(200, 10) == ("b", "d")
    assert store.expired(1000, 2) == ("b", "d")


def test_receipts_are_kept_until_they_expire(store: Store) -> None:
    for n in range(5):
        made(store, start(f"i{n}", receipt=Receipt(f"r{n}", "ok", 100 + n)))
    everything = [f"r{n}" for n in range(5)]
    assert store.forget_receipts(102, 10) == 2
    assert sorted(store.receipts(everything)) == ["r2", "r3", "r4"]
    assert store.forget_receipts(1000, 2) == 2
    assert sorted(store.receipts(everything)) == ["r4"]
