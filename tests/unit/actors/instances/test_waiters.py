"""An ending is told once to everybody who waits for it; a start too; and a host that leaves sends all of them on."""

from __future__ import annotations

from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.messages import Ending

DONE = Ending("i", "Completed", '"out"')


async def test_all_who_wait_for_an_end_hear_of_it() -> None:
    waiters = Waiters()
    first, second, other = waiters.end("i"), waiters.end("i"), waiters.end("j")
    waiters.started("i")
    assert not first.done()
    waiters.ended(DONE)
    assert (first.result(), second.result(), other.done()) == (DONE, DONE, False)
    assert waiters.waited_for() == ["j"]


async def test_one_that_ends_at_once_has_started_too() -> None:
    waiters = Waiters()
    start, end = waiters.start("i"), waiters.end("i")
    waiters.ended(DONE)
    assert (start.result(), end.result()) == (DONE, DONE)


async def test_a_start_says_what_it_is() -> None:
    waiters = Waiters()
    start, end = waiters.start("i"), waiters.end("i")
    waiters.started("i")
    assert start.result() == Ending("i", "Running")
    assert not end.done()


async def test_who_has_left_is_not_told_and_leaves_nothing_behind() -> None:
    waiters = Waiters()
    gone, stays = waiters.end("i"), waiters.end("i")
    waiters.forget("i", gone)
    waiters.ended(DONE)
    assert (gone.done(), stays.done()) == (False, True)
    waiters.forget("i", stays)
    waiters.forget("never", stays)
    assert waiters.waited_for() == []


async def test_a_cancelled_waiter_does_not_disturb_the_others() -> None:
    waiters = Waiters()
    cancelled, stays = waiters.end("i"), waiters.end("i")
    cancelled.cancel()
    waiters.ended(DONE)
    assert stays.result() == DONE


async def test_moved_counts_as_an_answer() -> None:
    waiters = Waiters()
    start, end = waiters.start("i"), waiters.end("j")
    waiters.moved(waiters.waited_for())
    assert (start.result().status, end.result().status) == ("moved", "moved")
    assert waiters.waited_for() == []
