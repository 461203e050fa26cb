"""No question of the contract reads all instances: each is answered along an index, by SQLite's own plan.

The statements are caught as they run, so that the test sees what the store really asks. A turn that only goes on
touches no index of `instances` at all, which the schema promises; that is seen in the byte code of its statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.records import DefinitionRow, InboxMessage, InstanceQuery, NewInstance, Permit, RowVersion
from durable_ray.actors.store.sql.changes import CHANGES, Op
from durable_ray.actors.store.sql.queries import make_token
from durable_ray.actors.store.sql.statement import Session
from durable_ray.actors.store.writes import CommitTurn, FinishUnstarted, Passivate, StartInstance

Ask = Callable[[SqlStore], object]
PERMIT = Permit("n", "h", "a", "x", 1, 1)
NEW = NewInstance("a", "x", "n", "h", "dedicated", 1)
TURN = CommitTurn("a", "x", "h", 0, "n", "Pending", "Running", 2, "body", 0, 1, messages=(InboxMessage("a", "m", "b"),))

#: What is asked, and the index that must answer (of several asked of one table, one of them).
QUESTIONS: dict[str, tuple[Ask, str]] = {
    "commit": (
        lambda s: s.commit(
            None,
            [
                StartInstance(NEW),
                TURN,
                InboxMessage("a", "m", "b"),
                FinishUnstarted("b", "x", "Failed", 1, "", 0),
                Passivate("a", "x", "h", 1, None),
            ],
        ),
        "sqlite_autoindex_instances_1",
    ),
    "load": (lambda s: s.load(["a"]), "sqlite_autoindex_instances_1"),
    "to_revive": (lambda s: s.to_revive("h", 1), "ix_instances_live"),
    "due": (lambda s: s.due("h", 1, 1), "ix_instances_due"),
    "with_messages": (lambda s: s.with_messages("h", 1), "ix_inbox_host"),
    "hosts_with_work": (lambda s: s.hosts_with_work(1), "ix_inbox_host"),
    "dedicated_waiting": (lambda s: s.dedicated_waiting(1, 1), "ix_instances_admission"),
    "dedicated_waiting for time": (lambda s: s.dedicated_waiting(1, 1), "ix_instances_dedicated_due"),
    "dedicated_next": (lambda s: s.dedicated_next(), "ix_instances_dedicated_due"),
    "residents": (lambda s: s.residents(), "ix_instances_resident"),
    "expired": (lambda s: s.expired(1, 1), "ix_instances_expires"),
    "purge": (lambda s: s.purge([RowVersion("a", "x", 1)]), "sqlite_autoindex_instances_1"),
    "forget_receipts": (lambda s: s.forget_receipts(1, 1), "ix_receipts_expires"),
    "mark_resident": (lambda s: s.mark_resident(["a"]), "sqlite_autoindex_instances_1"),
    "note_recovery": (lambda s: s.note_recovery("a"), "sqlite_autoindex_instances_1"),
    "definition": (lambda s: s.definition("activity", "n"), "ix_definitions_newest"),
    "definitions": (lambda s: s.definitions(1), "ix_definitions_revision"),
    "permit": (lambda s: s.permit(None, [PERMIT], [PERMIT], {"n": 1}), "ix_permits_name"),
    "permit by address": (lambda s: s.permit(None, [], [PERMIT], {"n": 1}), "ix_permits_address"),
    "permits": (lambda s: s.permits("h"), "ix_permits_host"),
    "forget_permits": (lambda s: s.forget_permits(["h"]), "ix_permits_host"),
    "release": (lambda s: s.release("n", 1, 1), "ix_instances_queued"),
    "schedules": (lambda s: s.schedules(["a"]), "sqlite_autoindex_schedules_1"),
    "schedules_due": (lambda s: s.schedules_due(1, 1), "ix_schedules_due"),
    "schedule_next": (lambda s: s.schedule_next(), "ix_schedules_due"),
    "schedules_running": (lambda s: s.schedules_running("", 1), "ix_schedules_under_way"),
    "schedules_page": (lambda s: s.schedules_page("", "", 1), "sqlite_autoindex_schedules_1"),
    "delete_schedule": (lambda s: s.delete_schedule("a"), "sqlite_autoindex_schedules_1"),
    "put_definitions": (
        lambda s: s.put_definitions([DefinitionRow("activity", "n", "", "c", "value", b"")]),
        "ix_definitions_newest",
    ),
}

ASKED: dict[str, tuple[InstanceQuery, str]] = {
    "all": (InstanceQuery(), "ix_instances_created"),
    "newest first": (InstanceQuery(descending=True), "ix_instances_created"),
    "created": (InstanceQuery(created_from=1, created_to=9), "ix_instances_created"),
    "status": (InstanceQuery(statuses=("Failed",)), "ix_instances_status"),
    "statuses": (InstanceQuery(statuses=("Failed", "Running"), created_from=1), "ix_instances_status"),
    "name": (InstanceQuery(names=("n",)), "ix_instances_name"),
    "names": (InstanceQuery(names=("n", "m"), descending=True), "ix_instances_name"),
    "parent": (InstanceQuery(parent_id="p", statuses=("Failed",)), "ix_instances_parent"),
    "prefix": (InstanceQuery(id_prefix="a"), "sqlite_autoindex_instances_1"),
    "updated": (InstanceQuery(updated_from=5, updated_to=9), "ix_instances_completed"),
    "updated since": (InstanceQuery(updated_from=5), "ix_instances_completed"),
    "tags": (InstanceQuery(tags={"a": "1", "b": "2"}, statuses=("Failed",)), "tags USING PRIMARY KEY"),
}


#: Answered by counters alone; and those that sort: what they found, which is little, or the ends of some sorted walks.
COUNTED = {"all", "newest first", "status", "name", "names"}
SORTED = {"statuses", "names", "prefix", "updated", "updated since"}


@pytest.fixture
def store() -> Iterator[SqlStore]:
    opened = open_store("sqlite://")
    assert isinstance(opened, SqlStore)
    yield opened
    opened.close()


class Noting:
    """A cursor that notes what it runs."""

    def __init__(self, cursor: Any, ran: set[str]) -> None:
        self._cursor = cursor
        self._ran = ran

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, *params: Any) -> Any:
        self._ran.add(sql)
        return self._cursor.execute(sql, *params)

    def executemany(self, sql: str, params: Any) -> Any:
        self._ran.add(sql)
        return self._cursor.executemany(sql, params)


def plans(store: SqlStore, ask: Ask) -> list[str]:
    """The plan of every statement that `ask` runs, as it is prepared: the planner must not see the values."""
    database: Any = store.database
    ran: set[str] = set()

    def noted(connection: Any) -> Session:
        return Session(Noting(connection.cursor(), ran), "sqlite", database._cannot_hold)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_session", noted)
        ask(store)
    lines = []
    for sql in sorted(ran):
        explained = database._writer.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))
        lines += [row[3] for row in explained]
    assert lines
    return lines


def assert_no_scan(lines: list[str]) -> None:
    """SCAN reads a whole table or index: right for what is small, and for a partial index that holds just the
    answer."""
    small = ("SCAN hub", "SCAN counters", "SCAN json_each", "SCAN CONSTANT ROW", "SCAN (", "SCAN branch")
    answers = ("ix_instances_admission", "ix_instances_resident")
    scans = [line for line in lines if line.startswith("SCAN") and not line.startswith(small)]
    scans = [line for line in scans if not line.endswith(answers)]
    assert scans == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_is_answered_by_its_index(store: SqlStore, question: str) -> None:
    ask, index = QUESTIONS[question]
    lines = plans(store, ask)
    assert any(index in line for line in lines), lines
    assert_no_scan(lines)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("way", ["page", "next page", "count"])
def test_each_query_walks_along_its_index(store: SqlStore, asked: str, way: str) -> None:
    query, index = ASKED[asked]
    for name in ("a", "b"):
        store.commit(None, [StartInstance(NewInstance(name, "x", "n", "h", "shared", 1))])
    token = make_token(1, "a", query) if way == "next page" else None
    lines = plans(store, lambda s: s.count(query) if way == "count" else s.query(query, 1, token))
    if way != "count" or asked not in COUNTED:
        assert any(index in line for line in lines), lines
    if index != "ix_instances_created":
        assert not [line for line in lines if "ix_instances_created" in line], lines
    # A page without a beginning walks its index from the end, and stops when it is full.
    walks = [f"SCAN instances USING COVERING INDEX {index}"] if asked in {"all", "newest first"} else []
    assert_no_scan([line for line in lines if line not in walks])
    if way != "count" and asked not in SORTED:
        assert not [line for line in lines if "TEMP B-TREE FOR ORDER BY" in line], lines


def test_a_turn_that_only_goes_on_touches_no_index_but_those_of_its_next_due_time(store: SqlStore) -> None:
    """And these two are partial: where `next_due` is and stays NULL, nothing is written to them either."""
    database: Any = store.database
    step = CHANGES[Op.TURN].statement
    program = list(database._writer.execute(f"EXPLAIN {step.sqlite}", step.from_object(TURN)))
    touched = {row[5] for row in program if row[1] == "IdxDelete"}
    assert touched == {"ix_instances_due", "ix_instances_dedicated_due"}
    assert len([row for row in program if row[1] == "IdxInsert"]) == len(touched)
