"""Permits: never more granted of a name than its limit, by priority and then in the order they were asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from durable_ray.actors.store.contract import Fenced, Store
from durable_ray.actors.store.opening import SqlStore
from durable_ray.actors.store.records import Permit
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.actors.store.writes import StartInstance
from tests.store_contract.building import advance, dedicated, made, row

GRANTED = Statement("SELECT count(*) FROM permits WHERE granted")


def permit(task_id: int, host: str = "h", name: str = "crawl", priority: int = 0) -> Permit:
    return Permit(name, host, "i", "x", task_id, 1, priority)


def exchange(store: Store, asked: list[Permit], returned: list[Permit], limit: int = 2) -> list[int]:
    """The tasks that are granted now."""
    names = {each.name for each in (*asked, *returned)} or {"crawl"}
    return [one.task_id for one in store.permit(None, asked, returned, dict.fromkeys(names, limit))]


def granted_now(store: Store) -> int:
    """How many are granted, as of one moment."""
    assert isinstance(store, SqlStore)
    with store.database.read() as session:
        row = session.one(GRANTED)
    return int(row[0]) if row else 0


def test_the_first_are_granted_and_the_next_when_one_comes_back(store: Store) -> None:
    first = [permit(n) for n in range(4)]
    assert exchange(store, first, []) == [0, 1]
    assert store.permits("h") == tuple(zip(first, (True, True, False, False), strict=True))
    elsewhere = [permit(9, "other")]
    assert exchange(store, elsewhere, []) == []
    assert exchange(store, [], [permit(1)]) == [2]
    assert exchange(store, [], [permit(3)]) == []  # it was given up while it waited
    assert exchange(store, [], [permit(0)]) == [9]
    assert store.permit_holders() == (("h", "crawl"), ("other", "crawl"))


def test_whoever_is_granted_is_told_whatever_its_host(store: Store) -> None:
    exchange(store, [permit(0)], [], limit=1)
    exchange(store, [permit(1, "other")], [], limit=1)
    assert store.permit(None, [], [permit(0)], {"crawl": 1}) == (permit(1, "other"),)


def test_higher_priority_first(store: Store) -> None:
    exchange(store, [permit(0), permit(1), permit(2, priority=5), permit(3)], [], limit=1)
    # All four asked at once: the one that is urgent went first, and nobody is sent away for it.
    assert [one.task_id for one, granted in store.permits("h") if granted] == [2]
    assert exchange(store, [], [permit(2)], limit=1) == [0]


def test_to_ask_twice_is_to_ask_once_and_answers_what_was_granted(store: Store) -> None:
    asked = [permit(0), permit(1)]
    assert exchange(store, asked, [], limit=1) == [0]
    assert exchange(store, asked, [], limit=1) == [0]
    assert exchange(store, [], [permit(0)], limit=1) == [1]
    assert exchange(store, [], [permit(0)], limit=1) == []
    assert len(store.permits("h")) == 1


def test_a_new_attempt_asks_for_itself_and_goes_to_the_end(store: Store) -> None:
    exchange(store, [permit(0), permit(1)], [], limit=1)
    again = replace(permit(0), attempt=2)
    assert exchange(store, [again], [permit(0)], limit=1) == [1]
    assert store.permits("h") == ((permit(1), True), (again, False))


def test_names_do_not_hinder_each_other_and_a_raised_limit_lets_in(store: Store) -> None:
    exchange(store, [permit(0), permit(1)], [], limit=1)
    assert exchange(store, [permit(7, name="other")], [], limit=1) == [7]
    assert exchange(store, [], [], limit=2) == [1]
    # A limit that was lowered sends nobody away, and lets nobody in until there is room.
    exchange(store, [permit(2)], [], limit=1)
    assert exchange(store, [], [permit(0)], limit=1) == []
    assert exchange(store, [], [permit(1)], limit=1) == [2]


def test_a_fenced_host_is_refused_and_nothing_is_written(store: Store) -> None:
    store.acquire_hub("hub", "cluster", "address", 0, 1, "{}")
    old = store.acquire_lease("h")
    store.permit(old, [permit(0)], [], {"crawl": 1})
    new = store.acquire_lease("h")
    for asked, returned in (([permit(1)], []), ([], [permit(0)])):
        with pytest.raises(Fenced):
            store.permit(old, asked, returned, {"crawl": 1})
    assert store.permits("h") == ((permit(0), True),)
    assert store.permit(new, [permit(0)], [], {"crawl": 1}) == (permit(0),)


def test_a_host_that_is_gone_for_good_holds_nothing(store: Store) -> None:
    exchange(store, [permit(0), permit(1, name="other")], [])
    exchange(store, [permit(5, "alive")], [])
    store.forget_permits(["h", "never was"])
    store.forget_permits([])
    assert store.permit_holders() == (("alive", "crawl"),)


def test_what_runs_keeps_its_permits_whoever_took_its_host_for_gone(store: Store) -> None:
    for name, outstanding in (("busy", 1), ("idle", 0)):
        made(store, StartInstance(dedicated(name)))
        advance(store, name, outstanding=outstanding)
    hosts = {name: row(store, name).host for name in ("busy", "idle")}
    for name, host in hosts.items():
        store.permit(None, [Permit("crawl", host, name, "x", 0, 1, 0)], [], {"crawl": 2})
    store.forget_permits(sorted(hosts.values()))
    assert store.permit_holders() == ((hosts["busy"], "crawl"),)


def test_an_emptied_hub_has_no_permits(store: Store) -> None:
    store.acquire_hub("hub", "cluster", "address", 0, 1, "{}")
    exchange(store, [permit(0)], [])
    store.erase("registry")
    assert store.permit_holders() == ()


def test_racing_hosts_never_hold_more_than_the_limit(opening: Callable[[], Store]) -> None:
    limit, rounds = 2, 25
    watch, seen = opening(), []

    def host(name: str) -> None:
        store = opening()
        mine: set[int] = set()
        for task in range(rounds):
            granted = store.permit(None, [permit(task, name)], [], {"crawl": limit})
            mine |= {one.task_id for one in granted if one.host == name}
            held = {one.task_id for one, is_granted in store.permits(name) if is_granted}
            seen.append(granted_now(watch))
            store.permit(None, [], [permit(one, name) for one in held], {"crawl": limit})

    threads = [threading.Thread(target=host, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 3 * rounds
    assert max(seen) <= limit
    while left := [one for name in "abc" for one, granted in watch.permits(name) if granted]:
        assert len(left) <= limit
        watch.permit(None, [], left, {"crawl": limit})
    assert watch.permit_holders() == ()
