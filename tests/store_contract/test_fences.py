"""Every method of the port that writes asserts the fence of its holder; one that does not is found here, also a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from durable_ray.actors.store.contract import Fenced, Store
from durable_ray.actors.store.records import DefinitionRow, InstanceQuery, Permit, Receipt, RowVersion, ScheduleRow
from durable_ray.actors.store.writes import StartInstance, StoreSchedule
from tests.store_contract.building import HOST, advance, dedicated, made, start

PERMIT = Permit("crawl", "d", "d", "d-x1", 1, 1)

#: How each method of the port is called so that it has something to do.
CALLS: dict[str, Callable[[Any], Any]] = {
    "heartbeat": lambda s: s.heartbeat(9),
    "mark_resident": lambda s: s.mark_resident(["d"]),
    "set_waiting_reason": lambda s: s.set_waiting_reason("live", "code"),
    "note_recovery": lambda s: s.note_recovery("live"),
    "isolate": lambda s: s.isolate("live", HOST, "instance:live"),
    "purge": lambda s: s.purge([RowVersion("done", "done-x1", 1)]),
    "forget_receipts": lambda s: s.forget_receipts(1000, 10),
    "commit": lambda s: s.commit(None, [start("another")]),
    "put_definitions": lambda s: s.put_definitions([DefinitionRow("activity", "n", "", "c", "value", b"")]),
    "release": lambda s: s.release("hello", 5, 2**40),
    "permit": lambda s: s.permit(None, [PERMIT], [], {"crawl": 1}),
    "forget_permits": lambda s: s.forget_permits(["gone"]),
    "erase": lambda s: s.erase("registry"),
    "hub": lambda s: s.hub(),
    "expired": lambda s: s.expired(1, 1),
    "load": lambda s: s.load(["done"]),
    "rows": lambda s: s.rows(["done"]),
    "history": lambda s: s.history("done"),
    "inbox": lambda s: s.inbox(["live"]),
    "receipts": lambda s: s.receipts(["r"]),
    "to_revive": lambda s: s.to_revive(HOST, 1),
    "with_messages": lambda s: s.with_messages(HOST, 1),
    "hosts_with_work": lambda s: s.hosts_with_work(1),
    "due": lambda s: s.due(HOST, 1, 1),
    "dedicated_waiting": lambda s: s.dedicated_waiting(1, 1),
    "dedicated_next": lambda s: s.dedicated_next(),
    "residents": lambda s: s.residents(),
    "query": lambda s: s.query(InstanceQuery(), 1),
    "live_standings": lambda s: s.live_standings(("", ""), 1),
    "ended_standings": lambda s: s.ended_standings((0, ""), 1),
    "count": lambda s: s.count(InstanceQuery()),
    "counts": lambda s: s.counts(),
    "load_now": lambda s: s.load_now(),
    "histogram": lambda s: s.histogram(InstanceQuery(created_from=0), 1),
    "definition": lambda s: s.definition("activity", "n"),
    "definitions": lambda s: s.definitions(),
    "definitions_revision": lambda s: s.definitions_revision(),
    "permits": lambda s: s.permits("d"),
    "permit_holders": lambda s: s.permit_holders(),
    "schedules": lambda s: s.schedules(["nightly"]),
    "schedules_due": lambda s: s.schedules_due(1, 1),
    "schedule_next": lambda s: s.schedule_next(),
    "schedules_running": lambda s: s.schedules_running("", 1),
    "schedules_page": lambda s: s.schedules_page("", "", 1),
    "delete_schedule": lambda s: s.delete_schedule("nightly"),
}
#: What changes no row (locks, files), and what makes fences: it asserts the lock, or the boot, and is not called by a holder.
NO_WRITES = {"close", "checkpoint", "fenced"}
MAKE_FENCES = {"acquire_hub", "acquire_lease"}


def methods() -> list[str]:
    """All that the port promises."""
    return sorted(name for name in dir(Store) if not name.startswith("_"))


@pytest.fixture
def filled(store: Any) -> Any:
    """A store in which each call has something to do."""
    store.acquire_hub("hub", "c1", "one", 1, 4, "{}")
    made(store, start("done", receipt=Receipt("r", "ok", 5)), start("live"), start("held", start_at=2**61))
    made(store, StartInstance(dedicated("d")))
    made(store, StoreSchedule(ScheduleRow("nightly", "active", 1, 2, 0, "{}")))
    advance(store, "done", "Completed")
    store.permit(None, [Permit("crawl", "gone", "gone", "x", 1, 1)], [], {"crawl": 0})
    return store


def test_every_method_is_tried_here() -> None:
    assert set(methods()) == CALLS.keys() | NO_WRITES | MAKE_FENCES, "say in CALLS how the new one is called"


def writes(store: Any, call: Callable[[Any], Any]) -> bool:
    """Whether a method makes a writing transaction."""
    with mock.patch.object(store.database, "write", wraps=store.database.write) as write:
        call(store)
    return bool(write.called)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_method_that_writes_asserts_its_fence(filled: Any, name: str) -> None:
    zombie = filled.fenced(filled.acquire_lease("registry"))
    fence = filled.acquire_lease("registry")
    before = contents(filled)
    error: Exception | None = None
    try:
        CALLS[name](zombie)
    except Fenced as fenced:
        error = fenced
    assert contents(filled) == before, "the zombie wrote"
    assert (error is not None) == writes(filled.fenced(fence), CALLS[name])


@pytest.mark.parametrize("name", ["heartbeat", "purge", "erase", "put_definitions", "commit", "permit"])
def test_another_boot_refuses_what_the_old_registry_writes(filled: Any, name: str) -> None:
    zombie = filled.fenced(filled.acquire_lease("registry"))
    filled.acquire_hub("hub", "c2", "two", 2, 4, "{}")
    before = contents(filled)
    with pytest.raises(Fenced):
        CALLS[name](zombie)
    assert contents(filled) == before


def test_the_holder_of_the_fence_may(filled: Any) -> None:
    fence = filled.acquire_lease("registry")
    holder = filled.fenced(fence)
    assert holder.purge([RowVersion("done", "done-x1", 1)]) == ("done",)
    assert holder.put_definitions([DefinitionRow("activity", "n", "", "c", "value", b"")]) == 1
    holder.heartbeat(7)
    assert filled.hub().heartbeat == 7
    assert len(holder.commit(fence, [start("more")]).answers) == 1
    assert holder.commit(fence, []).definitions_revision == 1


def contents(store: Any) -> dict[str, list[Any]]:
    """Every row of every table."""
    from durable_ray.actors.store.databases.schema import metadata

    found: dict[str, list[Any]] = {}
    with store.database.read() as session:
        for table in metadata.sorted_tables:
            session.plain(f"SELECT * FROM {table.name}")
            found[table.name] = sorted(map(repr, session._cursor.fetchall()))
    return found
