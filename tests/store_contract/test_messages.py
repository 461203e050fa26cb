"""The inbox: order, doubles, who may get mail, and that falling asleep never loses a message."""

from __future__ import annotations

import threading
from collections.abc import Callable

from msgspec.structs import replace

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import Receipt
from durable_ray.actors.store.writes import Absent, Delivered, Done, Finished, Passivate, Repeated, Stale, StartInstance
from tests.store_contract.building import advance, dedicated, made, message, pause, put, row, start, turn


def sleep(store: Store, instance_id: str, next_due: int | None = None) -> Passivate:
    now = row(store, instance_id)
    return Passivate(instance_id, now.execution_id, now.host, now.turn, next_due)


def test_messages_wait_in_the_order_in_which_they_came(store: Store) -> None:
    made(store, start("a"), start("b"))
    made(store, put("a", "m2", "x"), put("b", "m9"), put("a", "m1", "y"))
    made(store, replace(message("a", "m0"), execution_id="a-x1"))
    waiting = store.inbox(["a"])
    assert [(each.message_id, each.body, each.execution_id) for each in waiting] == [
        ("m2", "x", None),
        ("m1", "y", None),
        ("m0", "body", "a-x1"),
    ]
    assert store.load(["a"])["a"].inbox == waiting
    assert len(store.inbox(["a", "b"])) == 4


def test_the_sender_learns_where_the_receiver_lives(store: Store) -> None:
    made(store, StartInstance(dedicated("d")), start("s"))
    advance(store, "s", "Suspended")
    assert made(store, put("d")) == Delivered("d", "dedicated", False, "Pending", 0)
    assert made(store, put("s")) == Delivered("partition-1", "shared", True, "Suspended", 1)


def test_the_absent_and_the_finished_get_no_mail(store: Store) -> None:
    made(store, start("a"))
    advance(store, "a", "Failed")
    assert made(store, put("a"), put("nobody")) == (Finished("Failed"), Absent())
    assert store.inbox(["a", "nobody"]) == ()


def test_a_message_waits_once_however_often_it_is_sent(store: Store) -> None:
    made(store, start("a"))
    assert all(
        isinstance(answer, Delivered) for answer in made(store, put("a", "m1", "first"), put("a", "m1", "again"))
    )
    assert isinstance(made(store, put("a", "m1", "late")), Delivered)
    assert [each.body for each in store.inbox(["a"])] == ["first"]


def test_a_request_with_a_receipt_is_not_done_twice_even_after_its_message_was_taken(store: Store) -> None:
    made(store, start("a"))
    request = replace(message("a", "m1"), receipt=Receipt("r1", "delivered", 9000))
    assert isinstance(made(store, request), Delivered)
    advance(store, "a", consumed=tuple(each.row for each in store.inbox(["a"])))
    assert made(store, request) == Repeated("delivered")
    assert store.inbox(["a"]) == ()


def test_a_row_number_is_never_given_again(store: Store) -> None:
    made(store, start("a"), put("a", "m1"))
    (first,) = store.inbox(["a"])
    advance(store, "a", consumed=(first.row,))
    made(store, put("a", "m2"))
    (second,) = store.inbox(["a"])
    assert second.row > first.row


def test_an_instance_may_sleep_when_nothing_waits_for_it(store: Store) -> None:
    made(store, StartInstance(dedicated("d")))
    advance(store, "d")
    assert row(store, "d").resident
    assert made(store, sleep(store, "d", next_due=7000)) == Done()
    now = row(store, "d")
    assert (now.resident, now.next_due, now.turn) == (False, 7000, 1)


def test_a_sleeper_with_mail_stays_awake(store: Store) -> None:
    made(store, start("a"))
    advance(store, "a")
    made(store, put("a"))
    assert made(store, sleep(store, "a")) == Stale()
    assert row(store, "a").resident


def test_what_came_before_in_the_group_counts(store: Store) -> None:
    made(store, start("a"), start("b"))
    rest = sleep(store, "a")
    assert made(store, put("a"), rest)[1] == Stale()
    (pending,) = store.inbox(["a"])
    taking = turn(row(store, "a"), consumed=(pending.row,))
    assert made(store, taking, replace(rest, turn=1))[1] == Done()
    delivered = made(store, sleep(store, "b"), put("b"))[1]
    assert delivered.resident is False


def test_a_sleeper_that_moved_on_stays_awake(store: Store) -> None:
    made(store, start("a"))
    rest = sleep(store, "a")
    advance(store, "a")
    for wrong in (rest, replace(rest, turn=1, host="x"), replace(rest, turn=1, execution_id="x")):
        assert made(store, wrong) == Stale()
    assert made(store, replace(rest, instance_id="nobody")) == Stale()


def test_a_turn_wakes_who_slept(store: Store) -> None:
    made(store, start("a"))
    made(store, sleep(store, "a"))
    assert not row(store, "a").resident
    advance(store, "a")
    assert row(store, "a").resident


def test_falling_asleep_and_getting_mail_meet_in_one_order(opening: Callable[[], Store]) -> None:
    """Either the sleeper sees the message and stays, or the sender sees a sleeper and wakes it; never neither."""
    host, sender = opening(), opening()
    made(host, *(start(f"i{n}") for n in range(20)))
    ready = threading.Barrier(2)
    slept: list[object] = []
    delivered: list[object] = []

    def fall_asleep() -> None:
        rests = [sleep(host, f"i{n}") for n in range(20)]
        for rest in rests:
            ready.wait()
            slept.append(made(host, rest))

    def send() -> None:
        for n in range(20):
            ready.wait()
            delivered.append(made(sender, put(f"i{n}")))

    threads = [threading.Thread(target=fall_asleep), threading.Thread(target=send)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(slept, delivered, strict=True):
        assert isinstance(other, Delivered)
        assert (one == Stale()) == other.resident


def test_a_message_may_suspend_who_never_had_a_turn_and_nobody_else(store: Store) -> None:
    made(store, start("a"), start("b"))
    advance(store, "b")
    made(store, pause("a"), pause("b"))
    assert {name: row(store, name).status for name in "ab"} == {"a": "Suspended", "b": "Running"}
    assert store.counts() == {("hello", "Suspended"): 1, ("hello", "Running"): 1}
    assert len(store.inbox(["a", "b"])) == 2
    answer = made(store, replace(pause("a", "Pending"), message_id="m2"))
    assert answer == Delivered("partition-1", "shared", True, "Pending", 0)
    assert store.counts() == {("hello", "Pending"): 1, ("hello", "Running"): 1}
