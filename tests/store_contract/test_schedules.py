"""Schedules in the store: a state and the starts that it decides are one commit; what is due is found in order."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from durable_ray.actors.store.contract import Fenced
from durable_ray.actors.store.records import DefinitionRow, Receipt, ScheduleRow
from durable_ray.actors.store.writes import Exists, Outdated, Refused, Repeated, ScheduleStored, Started, StoreSchedule
from tests.store_contract.building import advance, made, row, start


def schedule(schedule_id: str, due: int | None = None, under_way: int = 0, state: str = "{}") -> ScheduleRow:
    return ScheduleRow(schedule_id, "active", 1000, due, under_way, state)


def test_a_schedule_and_its_starts_are_one_write(store: Any) -> None:
    answer = made(store, StoreSchedule(schedule("nightly", 5, 1), (start("nightly"),)))
    assert answer == ScheduleStored((Started(),))
    assert store.schedules(["nightly", "other"]) == {"nightly": schedule("nightly", 5, 1)}
    assert row(store, "nightly").status == "Pending"


def test_a_later_state_takes_the_place_of_the_earlier(store: Any) -> None:
    made(store, StoreSchedule(schedule("nightly", 5)))
    made(
        store, StoreSchedule(schedule("nightly", 6, state="one")), StoreSchedule(schedule("nightly", None, state="two"))
    )
    assert store.schedules(["nightly"])["nightly"] == schedule("nightly", None, state="two")


def test_a_start_whose_id_is_taken_leaves_the_state(store: Any) -> None:
    made(store, start("nightly"))
    answer = made(store, StoreSchedule(schedule("nightly", 5, 1), (start("nightly"), start("second"))))
    assert [type(each) for each in answer.starts] == [Exists, Started]
    assert "nightly" in store.schedules(["nightly"])


def test_a_finished_run_is_replaced_by_the_next(store: Any) -> None:
    made(store, StoreSchedule(schedule("nightly", 5, 1), (start("nightly"),)))
    advance(store, "nightly", "Completed")
    answer = made(
        store, StoreSchedule(schedule("nightly", 6, 1), (start("nightly", execution_id="x2", created_at=2000),))
    )
    assert isinstance(answer.starts[0], Started)
    assert row(store, "nightly").created_at == 2000


def test_of_what_older_definitions_decided_nothing_is_written(store: Any) -> None:
    store.put_definitions([DefinitionRow("orchestrator", "hello", "", "c", "value", b"")])
    write = StoreSchedule(schedule("nightly", 5, 1), (start("a", revision=1), start("b", revision=0)))
    assert made(store, write) == Outdated()
    assert store.schedules(["nightly"]) == {}
    assert store.rows(["a", "b"]) == {}


def test_one_that_cannot_be_stored_takes_no_other_with_it(store: Any) -> None:
    bad = StoreSchedule(schedule("bad", 5, 1, "\udc80"), (start("of-bad"),))
    answers = made(store, StoreSchedule(schedule("good", 5, 1), (start("of-good"),)), bad)
    assert isinstance(answers[0], ScheduleStored)
    assert isinstance(answers[1], Refused)
    assert set(store.schedules(["good", "bad"])) == {"good"}
    assert set(store.rows(["of-good", "of-bad"])) == {"of-good"}


def test_a_fence_that_does_not_hold_writes_neither(store: Any) -> None:
    store.acquire_hub("hub", "c1", "one", 1, 4, "{}")
    zombie = store.acquire_lease("registry")
    store.acquire_lease("registry")
    with pytest.raises(Fenced):
        store.commit(zombie, [StoreSchedule(schedule("nightly", 5, 1), (start("nightly"),))])
    assert store.schedules(["nightly"]) == store.rows(["nightly"]) == {}


def test_a_request_is_carried_out_once(store: Any) -> None:
    receipt = Receipt("request", "done", 10**15)
    made(store, StoreSchedule(schedule("nightly", 5), receipt=receipt))
    assert made(store, StoreSchedule(schedule("nightly", 9), (start("again"),), receipt)) == Repeated("done")
    assert store.schedules(["nightly"])["nightly"].due == 5
    assert store.rows(["again"]) == {}


def test_what_is_due_comes_in_order(store: Any) -> None:
    assert store.schedule_next() is None
    dues = {"a": 30, "b": 10, "c": None, "d": 20, "e": 10}
    made(store, *(StoreSchedule(schedule(name, due)) for name, due in dues.items()))
    assert [found.schedule_id for found in store.schedules_due(20, 10)] == ["b", "e", "d"]
    assert [found.schedule_id for found in store.schedules_due(20, 2)] == ["b", "e"]
    assert store.schedules_due(9, 10) == ()
    assert store.schedule_next() == 10


def test_those_with_runs_under_way_come_by_id(store: Any) -> None:
    made(store, *(StoreSchedule(schedule(f"s{n}", under_way=n % 2)) for n in range(7)))
    assert [found.schedule_id for found in store.schedules_running("", 2)] == ["s1", "s3"]
    assert [found.schedule_id for found in store.schedules_running("s3", 2)] == ["s5"]


def test_pages_go_by_id(store: Any) -> None:
    made(store, *(StoreSchedule(schedule(name)) for name in ("a", "b1", "b2", "c", "B")))
    assert [found.schedule_id for found in store.schedules_page("", "", 3)] == ["B", "a", "b1"]
    assert [found.schedule_id for found in store.schedules_page("", "b1", 3)] == ["b2", "c"]
    assert [found.schedule_id for found in store.schedules_page("b", "", 2)] == ["b1", "b2"]
    made(store, StoreSchedule(replace(schedule("b1"), status="deleted")))
    assert [found.schedule_id for found in store.schedules_page("b", "", 2)] == ["b2", "c"]


def test_a_deleted_schedule_leaves_its_runs(store: Any) -> None:
    made(store, StoreSchedule(schedule("nightly", 5, 1), (start("nightly"),)))
    assert store.delete_schedule("nightly")
    assert not store.delete_schedule("nightly")
    assert store.schedules(["nightly"]) == {}
    assert row(store, "nightly").status == "Pending"


def test_erasing_the_hub_takes_schedules_too(store: Any) -> None:
    store.acquire_hub("hub", "c1", "one", 1, 4, "{}")
    store.acquire_lease("registry")
    made(store, StoreSchedule(schedule("nightly", 5)))
    store.erase("registry")
    assert store.schedule_next() is None
