"""What two sessions on PostgreSQL do to each other in the worst order: the locks that each rule stands on.

SQLite has one writer at a time; here a transaction goes on beside another until it meets a lock. Each test stops one in
the middle and lets the other go as far as it gets. Take a lock away, and one of these fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from durable_ray.actors.store.contract import Fenced
from durable_ray.actors.store.databases.database import FENCE
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.records import Permit
from durable_ray.actors.store.sql import group, limits, upkeep
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.actors.store.writes import Delivered, Done, Passivate, Stale, Started, StartInstance, TurnCommitted
from tests.store_contract.building import HOST, advance, dedicated, made, pause, put, row, start, turn
from tests.store_contract.conftest import POSTGRES
from tests.store_contract.interleaving import Rival, between
from tests.store_contract.test_hub import when_free

pytestmark = pytest.mark.parametrize("url", [POSTGRES], indirect=True)
NOW = 5_000


class Two:
    """Two stores on one database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.first, self.second = open_store(url), open_store(url)

    def race(self, act: Callable[[], Any], after: Statement | int, rival: Callable[[], Any]) -> tuple[Any, Any, bool]:
        """`act` of the first, stopped after that statement while `rival` of the second goes as far as it gets: what
        both answer, and whether the rival did not have to wait."""
        assert isinstance(self.first, SqlStore)
        other = Rival(rival)
        answer, at_once = between(self.url, self.first, act, after, other)
        return answer, other.end(), at_once


@pytest.fixture
def two(url: str) -> Iterator[Two]:
    both = Two(url)
    yield both
    both.first.close()
    both.second.close()


# --- who owns a host ------------------------------------------------------------------------------


def test_nobody_gets_a_lease_while_its_owner_commits(two: Two) -> None:
    """Else a host would load its instances while its predecessor still writes to them."""
    fence = two.first.acquire_lease(HOST)
    made(two.first, start("a"))
    step = turn(row(two.first, "a"))
    committed, taken, at_once = two.race(
        lambda: two.first.commit(fence, [step]),
        FENCE,
        lambda: (two.second.acquire_lease(HOST), row(two.second, "a").turn),
    )
    assert isinstance(committed.answers[0], TurnCommitted)
    assert (taken[0].epoch, taken[1], at_once) == (fence.epoch + 1, 1, False)


def test_no_commit_comes_between_taking_a_lease_and_having_it(two: Two) -> None:
    fence = two.first.acquire_lease(HOST)
    made(two.first, start("a"))
    step = turn(row(two.first, "a"))

    def zombie() -> None:
        with pytest.raises(Fenced):
            two.second.commit(fence, [step])

    newer, _, at_once = two.race(lambda: two.first.acquire_lease(HOST), upkeep.LEASE, zombie)
    assert (newer.epoch, row(two.first, "a").turn, at_once) == (fence.epoch + 1, 0, False)


def test_no_new_boot_comes_between_a_look_at_it_and_the_lease(two: Two) -> None:
    """Else a host of the old cluster would be given a lease of the new one."""
    boot = two.first.acquire_hub("hub", "one", "address", 0, 1, "{}").boot_epoch
    two.first._database._lock.close()  # type: ignore[attr-defined]  # for good: its heartbeat would take the lock again
    fence, hub, at_once = two.race(
        lambda: two.first.acquire_lease(HOST, boot),
        upkeep.BOOT,
        lambda: when_free(lambda: two.second.acquire_hub("hub", "two", "address", 0, 1, "{}")),
    )
    assert (hub.boot_epoch, fence.boot_epoch, at_once) == (boot + 1, boot, False)
    with pytest.raises(Fenced):
        two.first.commit(fence, [start("a")])


# --- what a group decides about stays as it was seen ----------------------------------------------


def test_of_two_that_take_a_turn_the_second_finds_it_taken(two: Two) -> None:
    made(two.first, start("a"))
    step = turn(row(two.first, "a"))
    first, second, at_once = two.race(lambda: made(two.first, step), group.KNOWN, lambda: made(two.second, step))
    assert (type(first), second, at_once) == (TurnCommitted, Stale(), False)
    assert two.first.history("a") == ("turn 0",)


def test_a_sleeper_and_its_mail_meet_in_one_order(two: Two) -> None:
    made(two.first, StartInstance(dedicated("d")))
    advance(two.first, "d")
    seen = row(two.first, "d")
    sleep = Passivate("d", seen.execution_id, seen.host, seen.turn, None)
    asleep, told, at_once = two.race(
        lambda: made(two.first, sleep), group.HAS_MESSAGES, lambda: made(two.second, put("d"))
    )
    assert (asleep, at_once) == (Done(), False)
    assert isinstance(told, Delivered)
    assert not told.resident  # so its sender wakes it


def test_a_message_is_not_put_into_an_inbox_that_a_turn_has_just_emptied(two: Two) -> None:
    made(two.first, start("a"))
    ending = turn(row(two.first, "a"), "Completed")
    _, told, at_once = two.race(lambda: made(two.first, ending), group.KNOWN, lambda: made(two.second, put("a")))
    assert (type(told).__name__, at_once) == ("Finished", False)
    assert two.first.inbox(["a"]) == ()


def test_a_new_start_and_a_purge_of_the_old_meet_in_one_order(two: Two) -> None:
    made(two.first, start("a"))
    advance(two.first, "a", "Completed")
    old = row(two.first, "a").row_version
    gone, begun, at_once = two.race(
        lambda: two.first.purge([old]),
        upkeep.FINISHED,
        lambda: made(two.second, start("a", execution_id="second")),
    )
    assert (gone, begun, at_once) == (("a",), Started(), False)
    assert row(two.first, "a").execution_id == "second"


# --- limits ---------------------------------------------------------------------------------------


def _hold(two: Two, *names: str) -> None:
    made(two.first, *(start(name, created_at=n, queued=True) for n, name in enumerate(names)))


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_two_that_let_in_do_not_give_away_the_same_places(two: Two, after: int) -> None:
    """Whatever the first has found out when the second comes; and another is due for the second, and goes first."""
    _hold(two, "a", "b", "c")
    made(two.first, start("urgent", priority=1, start_at=NOW + 1, queued=True))
    first, second, _ = two.race(
        lambda: two.first.release("hello", 2, NOW), after, lambda: two.second.release("hello", 2, NOW + 1)
    )
    assert len({*first, *second}) == len(first) + len(second) == 2


@pytest.mark.parametrize("after", [1, 2])
def test_who_is_suspended_while_places_are_counted_makes_no_room(two: Two, after: int) -> None:
    """One that is held is Suspended for the counters, too: taken off without having been counted it would be a place."""
    _hold(two, "a", "b", "c")
    two.first.release("hello", 1, NOW)
    made(two.first, start("d", queued=True))
    let_in, _, _ = two.race(
        lambda: two.first.release("hello", 1, NOW), after, lambda: made(two.second, pause("b"), pause("c"))
    )
    assert let_in == ()


@pytest.mark.parametrize("after", [FENCE, limits.ASK, limits.RUNNING])
def test_two_that_ask_for_permits_do_not_get_the_same_one(two: Two, after: Statement) -> None:
    fences = two.first.acquire_lease("p0"), two.second.acquire_lease("p1")
    asked = Permit("n", "p0", "a", "x", 1, 1), Permit("n", "p1", "b", "x", 1, 1)
    first, second, _ = two.race(
        lambda: two.first.permit(fences[0], [asked[0]], [], {"n": 1}),
        after,
        lambda: two.second.permit(fences[1], [asked[1]], [], {"n": 1}),
    )
    assert len(first) + len(second) == 1


# --- the end of a hub's contents ------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, "registry"])
@pytest.mark.parametrize("after", [1, 4, 8])
def test_nothing_of_a_commit_survives_an_erasure_that_it_meets(two: Two, host: str, after: int) -> None:
    """Neither half of it: the tables are emptied one after the other."""
    two.first.acquire_hub("hub", "cluster", "address", 0, 1, "{}")
    two.first.acquire_lease("registry")
    fence = two.second.acquire_lease(host)
    made(two.first, start("old"))

    def commit() -> Any:
        try:
            return two.second.commit(fence, [start("a", input="i" * 5000, tags={"k": "v"}), put("a")])
        except Fenced:
            return None

    two.race(lambda: two.first.erase("registry"), after, commit)
    kept = two.first.rows(["a"])
    assert host == "registry" or not kept
    assert two.first.counts() == ({("hello", "Pending"): 1} if kept else {})
    assert len(two.first.inbox(["a"])) == len(kept)


@pytest.mark.parametrize("host", [HOST, "registry"])
def test_an_erasure_waits_for_a_commit_under_way(two: Two, host: str) -> None:
    two.first.acquire_hub("hub", "cluster", "address", 0, 1, "{}")
    two.first.acquire_lease("registry")
    fence = two.first.acquire_lease(host)
    committed, erased, at_once = two.race(
        lambda: two.first.commit(fence, [start("a", tags={"k": "v"}), put("a")]),
        group.KNOWN,
        lambda: two.second.erase("registry"),
    )
    assert (committed.answers[0], erased, at_once) == (Started(), 1, False)
    assert (two.first.rows(["a"]), two.first.inbox(["a"]), two.first.counts()) == ({}, (), {})
