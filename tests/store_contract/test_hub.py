"""One store, one owner: the hub's lock and boot epoch, host leases, and the fence that every commit asserts."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest

from durable_ray.actors.store.contract import Fenced, HubInUse, Store, StoreError, StoreUnusable
from durable_ray.actors.store.writes import Started, StartInstance
from tests.store_contract.building import dedicated, made, new, purge, row, start, turn


def boot(store: Store, cluster: str = "c1", address: str = "one:6379", now: int = 5):  # type: ignore[no-untyped-def]
    return store.acquire_hub("hub", cluster, address, now, 16, '{"a": 1}')


def when_free(own: Callable[[], Any]) -> Any:
    """What `own` answers once the lock is free: a server notices a while after its client that a session has ended."""
    until = time.monotonic() + 30
    while True:
        try:
            return own()
        except HubInUse:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def test_a_hub_is_unknown_until_it_is_booted(store: Store) -> None:
    assert store.hub() is None
    hub = boot(store)
    assert (hub.name, hub.boot_epoch, hub.cluster, hub.address, hub.heartbeat) == ("hub", 1, "c1", "one:6379", 5)
    assert store.hub() == hub


def test_the_same_cluster_keeps_the_boot_and_another_gets_the_next(store: Store) -> None:
    assert boot(store).boot_epoch == 1
    again = boot(store, address="two:6379", now=7)
    assert (again.boot_epoch, again.address, again.heartbeat) == (1, "two:6379", 7)
    assert boot(store, cluster="c2").boot_epoch == 2


def test_partitions_and_settings_are_those_of_the_first_owner(store: Store) -> None:
    boot(store)
    later = store.acquire_hub("hub", "c2", "x", 9, 4, "{}")
    assert (later.partitions, later.settings) == (16, '{"a": 1}')


def test_a_store_belongs_to_one_hub(store: Store) -> None:
    boot(store)
    with pytest.raises(StoreUnusable, match="'hub'"):
        store.acquire_hub("other", "c1", "x", 9, 4, "{}")


def test_a_second_owner_is_told_who_the_first_is(opening: Callable[[], Store]) -> None:
    first, second = opening(), opening()
    boot(first, now=42)
    with pytest.raises(
        HubInUse, match=r"one:6379, last heartbeat 1970-01-01 00:00:00 UTC.*durable-ray down"
    ) as refused:
        boot(second, cluster="c2", address="two:6379")
    assert (refused.value.address, refused.value.since, refused.value.cluster) == ("one:6379", 42, "c1")
    again = pickle.loads(pickle.dumps(refused.value))
    assert (again.address, again.since, again.cluster, str(again)) == ("one:6379", 42, "c1", str(refused.value))
    assert second.hub() == first.hub()
    first.close()
    assert when_free(lambda: boot(second, cluster="c2")).boot_epoch == 2


def test_a_heartbeat_is_the_owners(store: Store) -> None:
    with pytest.raises(StoreError, match="acquire_hub"):
        store.heartbeat(1)
    boot(store)
    store.heartbeat(99)
    hub = store.hub()
    assert hub is not None
    assert hub.heartbeat == 99


def test_each_lease_refuses_the_one_before(store: Store) -> None:
    boot(store)
    old = store.acquire_lease("partition-1")
    other = store.acquire_lease("partition-2")
    fresh = store.acquire_lease("partition-1")
    assert fresh.epoch == old.epoch + 1
    with pytest.raises(Fenced, match="partition-1"):
        store.commit(old, [start("a")])
    assert store.rows(["a"]) == {}
    assert isinstance(store.commit(fresh, [start("a")]).answers[0], Started)
    assert isinstance(store.commit(other, [start("b")]).answers[0], Started)


def test_a_fence_is_asserted_even_by_an_empty_commit(store: Store) -> None:
    boot(store)
    old = store.acquire_lease("h")
    store.commit(old, [])
    store.acquire_lease("h")
    with pytest.raises(Fenced):
        store.commit(old, [])


def test_another_boot_refuses_every_fence_of_the_old(store: Store) -> None:
    boot(store)
    fence = store.acquire_lease("h")
    boot(store, cluster="c2")
    with pytest.raises(Fenced):
        store.commit(fence, [start("a")])
    assert store.acquire_lease("h").boot_epoch == 2


def test_a_host_of_a_replaced_cluster_gets_no_lease(store: Store) -> None:
    boot(store)
    store.acquire_lease("h", boot_epoch=1)
    boot(store, cluster="c2")
    ours = store.acquire_lease("h", boot_epoch=2)
    with pytest.raises(Fenced, match="booted anew"):
        store.acquire_lease("h", boot_epoch=1)
    store.commit(ours, [])


def test_an_epoch_is_not_given_twice_even_after_a_purge(store: Store) -> None:
    boot(store)
    store.acquire_lease("d")
    store.acquire_lease("d")
    zombie = store.acquire_lease("d")
    made(store, StartInstance(dedicated("d")))
    made(store, turn(row(store, "d"), "Completed"))
    assert purge(store, "d") == 1
    assert store.acquire_lease("d").epoch > zombie.epoch
    with pytest.raises(Fenced):
        store.commit(zombie, [])


def test_a_store_is_not_pickled(store: Store) -> None:
    with pytest.raises(TypeError, match="URL"):
        pickle.dumps(store)
    assert new("a") == pickle.loads(pickle.dumps(new("a")))
