"""The changes of a group in the order in which they are made, each with its statement."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import NamedTuple

from durable_ray.actors.store.records import NewInstance
from durable_ray.actors.store.sql.rows import COLUMNS, columns_of
from durable_ray.actors.store.sql.statement import Statement

CONSUME = Statement("""
    DELETE FROM inbox
    WHERE "row" = :row AND instance_id = :instance_id
    """)
EMPTY_INBOX = Statement("DELETE FROM inbox WHERE instance_id = :instance_id")
DROP_HISTORY = Statement("DELETE FROM history WHERE instance_id = :instance_id")
DROP_TAGS = Statement("DELETE FROM tags WHERE instance_id = :instance_id")
DROP_INPUT = Statement("DELETE FROM inputs WHERE instance_id = :instance_id")
#: What a new row has: what its start says, and of the rest what is the same in each.
_NEW_ROW = (
    dict.fromkeys((*COLUMNS, "expires"), "NULL")
    | dict.fromkeys(("turn", "events", "generation", "recoveries", "outstanding"), "0")
    | {"status": "'Pending'", "updated_at": ":created_at", "next_due": ":first_due"}
    | {name: f":{name}" for name in (*columns_of(NewInstance), "resident")}
)
_INSERT = f"INSERT INTO instances ({', '.join(_NEW_ROW)}) VALUES ({', '.join(_NEW_ROW.values())})"
#: Two transactions that insert the same new ID cannot see each other; the second one finds fewer rows and starts over.
CREATE = Statement(f"{_INSERT} ON CONFLICT (instance_id) DO NOTHING")
#: Not delete and insert: a transaction that waits for this row's lock has to find it again afterwards.
REPLACE = Statement(
    f"{_INSERT} ON CONFLICT (instance_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NEW_ROW if name != "instance_id")
)
TAG = Statement("""
    INSERT INTO tags ("key", value, created_at, instance_id)
    VALUES (:key, :value, :created_at, :instance_id)
    """)
LONG_INPUT = Statement("INSERT INTO inputs (instance_id, body) VALUES (:instance_id, :body)")
MARK_RESIDENT = Statement("UPDATE instances SET resident = TRUE WHERE instance_id = :instance_id")
TURN = Statement("""
    UPDATE instances
    SET turn = (:turn + 1), events = (:first_event + :events), updated_at = :updated_at, next_due = :next_due,
        custom_status = :custom_status, recoveries = 0, waiting_reason = :waiting_reason, outstanding = :outstanding,
        awaited = :awaited
    WHERE instance_id = :instance_id AND turn = :turn
    """)
TURN_WITH_STATUS = Statement("""
    UPDATE instances
    SET status = :status, queued = FALSE, turn = (:turn + 1), events = (:first_event + :events), updated_at = :updated_at,
        started_at = coalesce(:started_at, started_at), completed_at = :completed_at, next_due = :next_due,
        output = :output, custom_status = :custom_status, failure = :failure, recoveries = 0,
        waiting_reason = :waiting_reason, outstanding = :outstanding, awaited = :awaited, expires = :expires
    WHERE instance_id = :instance_id AND turn = :turn
    """)
CONTINUE_AS_NEW = Statement("""
    UPDATE instances
    SET execution_id = :next_execution, version = :version, code_id = :code_id, status = :status, queued = FALSE,
        turn = (:turn + 1), events = (:first_event + :events), generation = :generation, updated_at = :updated_at,
        started_at = coalesce(:started_at, started_at), completed_at = :completed_at, next_due = :next_due,
        output = :output, custom_status = :custom_status, failure = :failure, recoveries = 0,
        waiting_reason = :waiting_reason, outstanding = :outstanding, awaited = :awaited, expires = :expires,
        input = :input
    WHERE instance_id = :instance_id AND turn = :turn
    """)
RECODE = Statement("""
    UPDATE instances
    SET version = :version, code_id = :code_id
    WHERE instance_id = :instance_id
    """)
SET_STATUS = Statement("UPDATE instances SET status = :status WHERE instance_id = :instance_id AND turn = 0")
FINISH_UNSTARTED = Statement("""
    UPDATE instances
    SET status = :status, queued = FALSE, turn = 1, events = :events, updated_at = :at, completed_at = :at, next_due = NULL,
        output = :output, failure = :failure, expires = :expires
    WHERE instance_id = :instance_id AND turn = 0
    """)


def without_process(next_due: str) -> str:
    """What changes of an instance without a process: one with activities under way is due at once, to be activated again."""
    due = f"CASE WHEN completed_at IS NOT NULL THEN NULL WHEN outstanding > 0 THEN updated_at ELSE {next_due} END"
    return f"resident = FALSE, next_due = {due}"


PASSIVATE = Statement(f"""
    UPDATE instances
    SET {without_process(":next_due")}
    WHERE instance_id = :instance_id AND turn = :turn
    """)
APPEND_HISTORY = Statement("""
    INSERT INTO history (instance_id, execution_id, first_event, body)
    VALUES (:instance_id, :execution_id, :first_event, :body)
    """)
PUT = Statement("""
    INSERT INTO inbox (placement, host, instance_id, message_id, execution_id, body)
    VALUES (:placement, :host, :instance_id, :message_id, :execution_id, :body)
    ON CONFLICT (instance_id, message_id) DO NOTHING
    """)


class Op(IntEnum):
    """What is changed; for one instance a later number comes later."""

    CONSUME = 0
    EMPTY_INBOX = auto()
    DROP_HISTORY = auto()
    DROP_TAGS = auto()
    DROP_INPUT = auto()
    CREATE = auto()
    REPLACE = auto()
    TAG = auto()
    LONG_INPUT = auto()
    MARK_RESIDENT = auto()
    TURN = auto()
    TURN_WITH_STATUS = auto()
    CONTINUE_AS_NEW = auto()
    RECODE = auto()
    SET_STATUS = auto()
    FINISH_UNSTARTED = auto()
    PASSIVATE = auto()
    APPEND_HISTORY = auto()
    PUT = auto()


#: Operations that change exactly one row each; another number means that the world moved under us.
_EXACT = {
    Op.CREATE, Op.REPLACE, Op.MARK_RESIDENT, Op.TURN, Op.TURN_WITH_STATUS, Op.CONTINUE_AS_NEW, Op.RECODE, Op.SET_STATUS,
    Op.FINISH_UNSTARTED, Op.PASSIVATE,
}  # fmt: skip


class Change(NamedTuple):
    """An operation with its statement, and whether that changes exactly one row."""

    op: Op
    statement: Statement
    exact: bool


#: By the operation's number: an enum's own hash and constructor would be Python calls in every commit.
CHANGES: tuple[Change, ...] = tuple([Change(op, globals()[op.name], op in _EXACT) for op in Op])
