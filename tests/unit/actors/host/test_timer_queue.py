"""One heap and one alarm: everything due rings once, soonest first, and the alarm always stands at the soonest."""

from __future__ import annotations

import random

from durable_ray.actors.host.timer_queue import TimerQueue
from tests.unit.actors.hosting import START, ToldClock


def timer_queue() -> tuple[TimerQueue, ToldClock, list[list[str]]]:
    rung: list[list[str]] = []
    clock = ToldClock()
    return TimerQueue(clock, rung.append), clock, rung


def test_it_rings_all_that_are_due_in_order_and_each_once() -> None:
    one, clock, rung = timer_queue()
    for at, name in ((30, "c"), (10, "a"), (20, "b"), (10, "a"), (99, "z")):
        one.add(START + at, name)
    assert one.next == START + 10
    clock.pass_to(START + 30)
    assert [name for names in rung for name in dict.fromkeys(names)] == ["a", "b", "c"]
    assert one.next == START + 99


def test_one_alarm_is_armed_at_the_soonest() -> None:
    one, clock, _ = timer_queue()
    for at in (50, 20, 70, 10):
        one.add(START + at, str(at))
    assert [at for at, _ in clock.alarms] == [START + 10]


def test_an_alarm_that_rings_early_is_armed_again() -> None:
    one, clock, rung = timer_queue()
    one.add(START + 100, "a")
    clock.alarms.pop()[1]()
    assert rung == []
    clock.pass_to(START + 100)
    assert rung == [["a"]]


def test_what_is_past_rings_too() -> None:
    one, clock, rung = timer_queue()
    one.add(START - 5, "late")
    clock.pass_to(START)
    assert rung == [["late"]]


def test_closed_it_rings_no_more() -> None:
    one, clock, rung = timer_queue()
    one.add(START + 1, "a")
    one.close()
    clock.pass_to(START + 9)
    assert (rung, one.next, clock.alarms) == ([], None, [])


def test_every_due_rings_at_its_time_whatever_the_order() -> None:
    chance = random.Random(5)
    one, clock, rung = timer_queue()
    wanted = {str(n): START + chance.randrange(1, 50) for n in range(200)}
    for name, at in wanted.items():
        one.add(at, name)
    for now in range(START, START + 51):
        clock.pass_to(now)
        for names in rung:
            assert {wanted[name] for name in names} == {now}
        rung.clear()
    assert one.next is None


def test_an_instance_that_changes_its_mind_has_one_entry_and_none_when_it_has_ended() -> None:
    one, clock, rung = timer_queue()
    for number in range(5_000):
        one.add(START + 10**6 - number, "sooner")
        one.add(START + 10**6 + number, "later")
        one.add(START + 10**6, f"ended-{number}")
        one.discard(f"ended-{number}")
    assert len(one._heap) < 100
    assert len(one._earliest) == 2
    clock.pass_to(START + 10**6)
    assert [name for names in rung for name in names] == ["sooner", "later"]
    assert one.next is None
