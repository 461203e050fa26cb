"""The changes of a group in the order in which they are made, each with its statement."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import NamedTuple

from durable_ray.actors.store.sql import Statement
from durable_ray.actors.store.texts import changes as texts


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
    WAKE = auto()
    STEP = auto()
    MOVE = auto()
    SUCCEED = auto()
    RECODE = auto()
    PAUSE = auto()
    END_UNSTARTED = auto()
    SLEEP = auto()
    CHRONICLE = auto()
    PUT = auto()


#: Operations that change exactly one row each; another number means that the world moved under us.
_EXACT = (Op.CREATE, Op.REPLACE, Op.WAKE, Op.STEP, Op.MOVE, Op.SUCCEED, Op.RECODE, Op.PAUSE, Op.END_UNSTARTED, Op.SLEEP)


class Change(NamedTuple):
    """An operation with its statement, and whether that changes exactly one row."""

    op: Op
    statement: Statement
    exact: bool


#: By the operation's number: an enum's own hash and constructor would be Python calls in every commit.
CHANGES: tuple[Change, ...] = tuple([Change(op, getattr(texts, op.name), op in _EXACT) for op in Op])
