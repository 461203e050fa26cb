"""A finding of an audit: a sentence about what does not hold, and the changes that mend it, if that takes no guess."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from durable_ray.actors.store.sql.statement import Statement

#: A statement and its parameters.
Change = tuple[Statement, dict[str, Any]]

BACKUP_OR_END = "restore a backup (docs/operations.md), or: durable-ray terminate {}"


class AuditFinding(Struct, frozen=True):
    """What does not hold.

    Attributes:
        kind: what it is about: "history", "replay", "counters", "message", "child", "permit", "payload", "row", "code", "file".
        subject: the ID of the instance, or the name of the definition, or a table.
        detail: a sentence.
        remedy: what to do, where nothing is mended.
        mend: what mending does; "" if there is nothing safe to do.
        changes: the statements that do it, in one transaction.
        level: "warning": it may be in order.
    """

    kind: str
    subject: str
    detail: str
    remedy: str = ""
    mend: str = ""
    changes: tuple[Change, ...] = ()
    level: Literal["problem", "warning"] = "problem"
