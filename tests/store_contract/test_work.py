"""Finding work: whatever a crash or a lost notification leaves behind is found by the sweep."""

from __future__ import annotations

from msgspec.structs import replace

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.writes import Done, Passivate, StartInstance
from tests.store_contract.building import HOST, advance, dedicated, made, pause, put, row, start


def nap(store: Store, instance_id: str, next_due: int | None = None) -> None:
    now = row(store, instance_id)
    assert made(store, Passivate(instance_id, now.execution_id, now.host, now.turn, next_due)) == Done()


def waiting(store: Store, now: int, limit: int = 10) -> list[str]:
    return [each.instance_id for each in store.dedicated_waiting(now, limit)]


def test_what_comes_due_comes_soonest_first(store: Store) -> None:
    made(store, *(start(name) for name in "abc"), start("later", start_at=8000), start("other", host="x"))
    advance(store, "a", next_due=5000)
    advance(store, "b", next_due=4000)
    advance(store, "c")
    assert store.due(HOST, 5000, 10) == (("b", 4000), ("a", 5000))
    assert store.due(HOST, 8000, 10) == (("b", 4000), ("a", 5000), ("later", 8000))
    assert store.due(HOST, 8000, 1) == (("b", 4000),)
    advance(store, "b", "Completed")
    assert store.due(HOST, 4999, 10) == ()


def test_a_start_whose_notification_was_lost_is_due(store: Store) -> None:
    made(store, start("a", created_at=1000))
    assert store.due(HOST, 1000, 10) == (("a", 1000),)


def test_a_fresh_process_loads_what_has_something_to_do(store: Store) -> None:
    made(
        store,
        *(start(n) for n in ("asleep", "busy", "done", "mail", "timer")),
        start("fresh"),
        start("delayed", start_at=9000),
    )
    for name in ("asleep", "mail"):
        advance(store, name)
    advance(store, "busy", outstanding=1)
    advance(store, "done", "Completed")
    advance(store, "timer", next_due=3000)
    made(store, put("mail"))
    assert store.to_revive(HOST, 2999) == ("busy", "fresh", "mail")
    assert store.to_revive(HOST, 9000) == ("busy", "delayed", "fresh", "mail", "timer")
    assert store.to_revive("nobody", 9000) == ()


def test_mail_is_found_by_host(store: Store) -> None:
    made(store, start("a"), start("b"), StartInstance(dedicated("d")))
    made(store, put("a", "m1"), put("a", "m2"), put("d"))
    assert store.with_messages(HOST, 10) == ("a",)
    assert store.with_messages("d", 10) == ("d",)
    made(store, put("b"))
    assert len(store.with_messages(HOST, 1)) == 1


def test_shared_hosts_with_something_to_do(store: Store) -> None:
    for name in ("fresh", "delayed", "running", "suspended", "done", "mail"):
        made(store, start(name, host=f"h-{name}", start_at=9000 if name in {"delayed", "mail"} else None))
    advance(store, "running")
    advance(store, "suspended", "Suspended")
    advance(store, "done", "Completed")
    made(store, put("mail"), StartInstance(dedicated("d")))
    assert store.hosts_with_work(2000) == ("h-fresh", "h-mail", "h-running", "h-suspended")
    assert store.hosts_with_work(9000) == ("h-delayed", "h-fresh", "h-mail", "h-running", "h-suspended")


def test_admission_goes_by_priority_then_age(store: Store) -> None:
    for name, priority, created_at in (("old", 0, 1), ("young", 0, 9), ("urgent", 5, 9), ("low", -1, 0)):
        made(store, StartInstance(dedicated(name, priority=priority, created_at=created_at)))
    assert waiting(store, 9) == ["urgent", "old", "young", "low"]
    assert waiting(store, 9, limit=2) == ["urgent", "old"]
    store.mark_resident(["urgent", "old"])
    assert waiting(store, 9) == ["young", "low"]
    assert store.residents() == ("old", "urgent")


def test_a_delayed_start_waits_for_its_time(store: Store) -> None:
    made(store, StartInstance(dedicated("d", start_at=5000)))
    assert waiting(store, 4999) == []
    assert store.dedicated_next() == 5000
    assert waiting(store, 5000) == ["d"]
    assert store.dedicated_next(after=5000) is None


def test_sleepers_are_woken_by_time_and_mail(store: Store) -> None:
    for name in ("timer", "event", "mail"):
        made(store, StartInstance(dedicated(name)))
        advance(store, name)
        nap(store, name, 7000 if name == "timer" else None)
    assert waiting(store, 6999) == []
    made(store, put("mail"))
    assert waiting(store, 6999) == ["mail"]
    assert sorted(waiting(store, 7000)) == ["mail", "timer"]
    assert store.dedicated_next() == 7000
    store.mark_resident(["mail", "timer"])
    assert waiting(store, 7000) == []
    assert store.dedicated_next() is None


def test_a_lost_process_is_missed_where_activities_were_under_way(store: Store) -> None:
    for name, outstanding in (("busy", 2), ("idle", 0)):
        made(store, StartInstance(dedicated(name)))
        advance(store, name, outstanding=outstanding)
    assert store.residents() == ("busy", "idle")
    store.mark_resident(["busy", "idle", "nobody"], resident=False)
    assert store.residents() == ()
    assert waiting(store, 9000) == ["busy"]
    store.mark_resident(["busy"])
    assert waiting(store, 9000) == []


def test_a_suspended_sleeper_with_mail_is_woken(store: Store) -> None:
    made(store, StartInstance(dedicated("d")))
    advance(store, "d", "Suspended")
    nap(store, "d")
    made(store, put("d"))
    assert waiting(store, 9000) == ["d"]


def test_mail_gives_nobody_a_process_before_its_time(store: Store) -> None:
    made(store, StartInstance(dedicated("later", start_at=9_000)), StartInstance(dedicated("paused", start_at=9_000)))
    made(store, put("later"), pause("paused"))
    assert waiting(store, 8_999) == []
    assert sorted(waiting(store, 9_000)) == ["later", "paused"]


def test_finished_and_shared_instances_wait_for_no_process(store: Store) -> None:
    made(store, StartInstance(dedicated("d")), start("s"))
    advance(store, "d", "Completed")
    store.mark_resident(["d", "s"], resident=False)
    assert waiting(store, 10**9) == []
    assert row(store, "s").resident
    assert store.residents() == ()


def test_a_replaced_instance_waits_anew(store: Store) -> None:
    made(store, StartInstance(dedicated("d")))
    advance(store, "d", "Completed")
    assert row(store, "d").resident
    made(store, StartInstance(replace(dedicated("d"), execution_id="x2")))
    assert waiting(store, 9000) == ["d"]
