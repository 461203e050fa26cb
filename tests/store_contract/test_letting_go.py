"""Letting go: a purge takes finished instances with all they own and nothing else; receipts expire."""

from __future__ import annotations

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import InstanceQuery, Receipt, RowVersion
from durable_ray.actors.store.writes import StartInstance
from tests.store_contract.building import advance, dedicated, made, purge, put, row, start, turn


def test_a_purged_instance_is_gone_with_all_it_owned(store: Store) -> None:
    made(store, start("a", input="i" * 5000, tags={"k": "v"}), start("b"))
    advance(store, "a")
    made(store, put("a"))
    advance(store, "a", "Completed")
    assert purge(store, "a", "nobody", "a") == 1
    assert store.load(["a"]) == {}
    assert store.history("a") == ()
    assert store.query(InstanceQuery(tags={"k": "v"}), 10).rows == ()
    assert store.counts() == {("hello", "Pending"): 1}
    assert purge(store, "a") == 0


def test_live_instances_are_left_alone(store: Store) -> None:
    made(store, start("a"), start("b"), start("c"))
    advance(store, "b")
    advance(store, "c", "Suspended")
    before = store.load(["a", "b", "c"])
    assert purge(store, "a", "b", "c") == 0
    assert store.load(["a", "b", "c"]) == before


def test_a_purged_id_is_free(store: Store) -> None:
    made(store, StartInstance(dedicated("d")))
    advance(store, "d", "Failed")
    purge(store, "d")
    advance_from_scratch = made(store, start("d", if_exists="reject_finished"))
    assert advance_from_scratch.replaced is None


def finished(store: Store, instance_id: str, execution_id: str) -> RowVersion:
    """An instance of that ID that has run its one turn, as it is now."""
    made(store, start(instance_id, execution_id=execution_id))
    advance(store, instance_id, "Completed")
    return row(store, instance_id).row_version


def test_a_purge_takes_what_was_matched_and_not_what_came_after(store: Store) -> None:
    """IDs are matched first and deleted later; meanwhile another instance may have got one of them, and ended, too."""
    matched = [finished(store, name, "first") for name in ("a", "b", "c", "d")]
    again = finished(store, "a", "second")
    made(store, start("b", execution_id="second"))
    made(store, turn(row(store, "c"), "Running"))  # a rewind keeps the execution
    advance(store, "c", "Completed")
    assert store.purge(matched) == ("d",)
    assert {name: each.row_version for name, each in store.rows(["a", "b", "c", "d"]).items()} == {
        "a": again,
        "b": RowVersion("b", "second", 0),
        "c": RowVersion("c", "first", 3),
    }
    assert (store.history("a"), store.history("c")) == (("turn 0",), ("turn 0", "turn 1", "turn 2"))
    assert store.purge([again]) == ("a",)


def test_children_are_purged_only_with_the_parent_that_was_matched(store: Store) -> None:
    parent, child = finished(store, "p", "first"), finished(store, "c", "only")
    later = finished(store, "p", "second")
    assert store.purge([child], [parent]) == ()
    assert store.purge([child], [later, RowVersion("nobody", "x", 1)]) == ()
    assert store.purge([child], [later]) == ("c",)
    assert set(store.rows(["p", "c"])) == {"p"}


def test_a_large_purge_takes_all(store: Store) -> None:
    names = [f"i{n}" for n in range(450)]
    made(store, *(start(name) for name in names))
    for name in names[:3]:
        advance(store, name, "Completed")
    assert purge(store, *names) == 3
    assert store.purge([]) == ()


def test_what_expired_first_is_named_first(store: Store) -> None:
    for name, expires in (("a", 300), ("b", 100), ("c", None), ("d", 200)):
        made(store, start(name))
        advance(store, name, "Completed", expires=expires)
    assert store.expired(99, 10) == ()
    assert store.expired(200, 10) == (row(store, "b").row_version, row(store, "d").row_version)
    assert [version.instance_id for version in store.expired(1000, 2)] == ["b", "d"]


def test_receipts_are_kept_until_they_expire(store: Store) -> None:
    for n in range(5):
        made(store, start(f"i{n}", receipt=Receipt(f"r{n}", "ok", 100 + n)))
    everything = [f"r{n}" for n in range(5)]
    assert store.forget_receipts(102, 10) == 2
    assert sorted(store.receipts(everything)) == ["r2", "r3", "r4"]
    assert store.forget_receipts(1000, 2) == 2
    assert sorted(store.receipts(everything)) == ["r4"]
