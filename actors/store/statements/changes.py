"""The changes of a group, one statement for each `changes.Op`. Each runs once for all the writes that need it.

Parameters are named after the fields of the writes, so that a write is its own set of parameters. Conditions are
decided before (`group`), on rows that nobody else can change meanwhile; what is repeated here only finds the row.

PostgreSQL's INSERT … ON CONFLICT is used throughout: SQLite took over its grammar, so the construct compiles for both.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Table,
    Update,
    bindparam,
    case,
    delete,
    false,
    func,
    literal_column,
    null,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from durable_ray.actors.store.schema import history, inbox, inputs, instances, tags
from durable_ray.actors.store.statements.core import number, text

_i = instances.c


def _birth() -> dict[str, Any]:
    """A row before its first turn. It is due at `first_due`: a start whose nudge was lost is found with the timers."""
    given_text = (
        "instance_id execution_id name version code_id placement host parent_id parent_execution tags environment "
        "settings input"
    )
    given_number = "created_at start_at parent_task priority"
    zero: ColumnElement[int] = literal_column("0")
    return {
        **{name: text(name) for name in given_text.split()},
        **{name: number(name) for name in given_number.split()},
        "resident": bindparam("resident", type_=_i.resident.type),
        "status": literal_column("'Pending'"),
        "turn": zero,
        "events": zero,
        "generation": zero,
        "recoveries": zero,
        "outstanding": zero,
        "updated_at": number("created_at"),
        "next_due": number("first_due"),
        **dict.fromkeys(
            ("started_at", "completed_at", "output", "custom_status", "failure", "waiting_reason", "expires"), null()
        ),
    }


def _turn(**more: Any) -> Update:
    return (
        update(instances)
        .where(_i.instance_id == text("instance_id"), _i.turn == number("turn"))
        .values(
            turn=number("turn") + literal_column("1"),
            events=number("first_event") + number("events"),
            updated_at=number("updated_at"),
            next_due=number("next_due"),
            custom_status=text("custom_status"),
            waiting_reason=text("waiting_reason"),
            outstanding=number("outstanding"),
            recoveries=literal_column("0"),
            **more,
        )
    )


def _move(**more: Any) -> Update:
    return _turn(
        status=text("status"),
        started_at=func.coalesce(number("started_at"), _i.started_at),
        completed_at=number("completed_at"),
        output=text("output"),
        failure=text("failure"),
        expires=number("expires"),
        **more,
    )


def due_without_process(otherwise: ColumnElement[Any]) -> ColumnElement[Any]:
    """The `next_due` of an instance that has no process: one whose activities were under way is due at once.

    That makes `next_due` the one thing that says whether a sleeper has to be woken, and saves an index on
    `outstanding`.
    """
    return case(
        (_i.completed_at.is_not(None), null()),
        (_i.outstanding > literal_column("0"), _i.updated_at),
        else_=otherwise,
    )


def _of_instance(table: Table) -> Delete:
    return delete(table).where(table.c.instance_id == text("instance_id"))


_new = insert(instances).values(_birth())

CONSUME = delete(inbox).where(inbox.c.row == number("row"), inbox.c.instance_id == text("instance_id"))
EMPTY_INBOX = _of_instance(inbox)
DROP_HISTORY = _of_instance(history)
DROP_TAGS = _of_instance(tags)
DROP_INPUT = _of_instance(inputs)
#: Two who insert the same new ID at once cannot see each other; who comes second finds fewer rows and looks again.
CREATE = _new.on_conflict_do_nothing(index_elements=["instance_id"])
#: Not delete and insert: who waits for this row's lock has to find it again afterwards.
REPLACE = _new.on_conflict_do_update(
    index_elements=["instance_id"],
    set_={name: _new.excluded[name] for name in _i.keys() if name != "instance_id"},  # noqa: SIM118
)
TAG = insert(tags).values(
    key=text("key"), value=text("value"), created_at=number("created_at"), instance_id=text("instance_id")
)
LONG_INPUT = insert(inputs).values(instance_id=text("instance_id"), body=text("body"))
WAKE = update(instances).where(_i.instance_id == text("instance_id")).values(resident=true())
STEP = _turn()
MOVE = _move()
SUCCEED = _move(
    execution_id=text("next_execution"),
    generation=number("generation"),
    input=text("input"),
    version=text("version"),
    code_id=text("code_id"),
)
RECODE = (
    update(instances)
    .where(_i.instance_id == text("instance_id"))
    .values(version=text("version"), code_id=text("code_id"))
)
PAUSE = (
    update(instances)
    .where(_i.instance_id == text("instance_id"), _i.turn == literal_column("0"))
    .values(status=text("status"))
)
END_UNSTARTED = (
    update(instances)
    .where(_i.instance_id == text("instance_id"), _i.turn == literal_column("0"))
    .values(
        turn=literal_column("1"),
        status=text("status"),
        events=number("events"),
        updated_at=number("at"),
        completed_at=number("at"),
        next_due=null(),
        output=text("output"),
        failure=text("failure"),
        expires=number("expires"),
    )
)
SLEEP = (
    update(instances)
    .where(_i.instance_id == text("instance_id"), _i.turn == number("turn"))
    .values(
        resident=false(),
        next_due=due_without_process(number("next_due")),
    )
)
CHRONICLE = insert(history).values(
    instance_id=text("instance_id"),
    execution_id=text("execution_id"),
    first_event=number("first_event"),
    body=text("body"),
)
PUT = (
    insert(inbox)
    .values(
        placement=text("placement"),
        host=text("host"),
        instance_id=text("instance_id"),
        message_id=text("message_id"),
        execution_id=text("execution_id"),
        body=text("body"),
    )
    .on_conflict_do_nothing(index_elements=["instance_id", "message_id"])
)
