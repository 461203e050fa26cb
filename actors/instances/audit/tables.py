"""What the database can tell by itself: counters, times that contradict a status, rows of nobody, messages to nobody.

All of it is read as of one moment, so it may be asked of a hub that works.
"""

from __future__ import annotations

from collections.abc import Iterator

from durable_ray.actors.instances.audit.findings import AuditFinding, Change
from durable_ray.actors.store.sql.checks import AT_ODDS, miscounted
from durable_ray.actors.store.sql.statement import Session, Statement

SOUND = Statement(sqlite="PRAGMA quick_check(3)")
NO_COUNTERS = Statement("DELETE FROM counters")
COUNT_ANEW = Statement("""
    INSERT INTO counters (host, name, status, n)
    SELECT CASE WHEN placement = 'shared' THEN host ELSE '' END, name, status, count(*)
    FROM instances
    GROUP BY 1, 2, 3
    """)
END_ANEW = Statement("""
    UPDATE instances
    SET completed_at = updated_at, next_due = NULL, queued = FALSE
    WHERE instance_id = :instance_id
    """)
LIVE_ANEW = Statement("""
    UPDATE instances
    SET completed_at = NULL, expires = NULL, next_due = CASE WHEN queued AND turn = 0 THEN NULL ELSE next_due END,
        queued = (queued AND turn = 0)
    WHERE instance_id = :instance_id
    """)
MISADDRESSED = Statement("""
    SELECT inbox.instance_id, inbox.message_id, inbox."row", instances.completed_at IS NULL AND instances.name IS NOT NULL
    FROM inbox LEFT OUTER JOIN instances ON instances.instance_id = inbox.instance_id
    WHERE instances.instance_id IS NULL OR instances.completed_at IS NOT NULL
        OR instances.host != inbox.host OR instances.placement != inbox.placement
    """)
FORGET_MESSAGE = Statement('DELETE FROM inbox WHERE "row" = :row')
READDRESS = Statement("""
    UPDATE inbox
    SET host = (SELECT host FROM instances WHERE instances.instance_id = inbox.instance_id),
        placement = (SELECT placement FROM instances WHERE instances.instance_id = inbox.instance_id)
    WHERE "row" = :row
    """)
#: Nobody reads rows of an instance that is absent.
_OF_NOBODY = {
    table: (
        Statement(f"""
            SELECT DISTINCT instance_id
            FROM {table}
            WHERE NOT EXISTS (SELECT * FROM instances WHERE instances.instance_id = {table}.instance_id)
            """),
        Statement(f"DELETE FROM {table} WHERE instance_id = :instance_id"),
        kind,
    )
    for table, kind in (("inputs", "payload"), ("tags", "row"), ("history", "history"))
}
#: An attempt that was asked for by an instance which has ended, or goes on as another execution: its permit is given back when
#: the attempt is over, so while a hub runs it may be in order.
PERMITS_OF_NOBODY = Statement("""
    SELECT permits."row", permits.name, permits.instance_id, permits.task_id
    FROM permits LEFT OUTER JOIN instances ON instances.instance_id = permits.instance_id
    WHERE instances.instance_id IS NULL OR instances.completed_at IS NOT NULL
        OR instances.execution_id != permits.execution_id OR instances.outstanding = 0
    """)
FORGET_PERMIT = Statement('DELETE FROM permits WHERE "row" = :row')
CHILDREN_OF_NOBODY = Statement("""
    SELECT instance_id, parent_id
    FROM instances
    WHERE parent_id IS NOT NULL AND completed_at IS NULL
        AND NOT EXISTS (SELECT * FROM instances AS parents WHERE parents.instance_id = instances.parent_id)
    """)
UNTAGGED = Statement("""
    SELECT instance_id
    FROM instances
    WHERE tags != '{}' AND NOT EXISTS (SELECT * FROM tags WHERE tags.instance_id = instances.instance_id)
    """)


def unsound_file(session: Session) -> Iterator[AuditFinding]:
    """What SQLite itself says of its file."""
    if session.dialect == "sqlite":
        for (said,) in session.all(SOUND):
            if said != "ok":
                yield AuditFinding("file", "the database", said, "restore a backup (docs/operations.md)")


def audit_tables(session: Session, *, running: bool) -> Iterator[AuditFinding]:
    """What does not hold between the tables. `running`: a hub works on them."""
    recount: tuple[Change, ...] = ((NO_COUNTERS, {}), (COUNT_ANEW, {}))
    for sentence in miscounted(session):
        yield AuditFinding("counters", "counters", sentence, mend="count anew", changes=recount)
    for instance_id, status in session.all(AT_ODDS):
        ended = status in ("Completed", "Failed", "Terminated")
        times = (END_ANEW if ended else LIVE_ANEW, {"instance_id": instance_id})
        detail = f"it is {status}, which its times contradict"
        yield AuditFinding("row", instance_id, detail, mend="set its times by its status", changes=(times,))
    for instance_id, message_id, row, live in session.all(MISADDRESSED):
        if live:
            detail, mend, change = "is addressed to a host that does not have it", "address it anew", READDRESS
        else:
            detail, mend, change = "waits for an instance that is absent or has ended", "delete it", FORGET_MESSAGE
        yield AuditFinding(
            "message", instance_id, f"message {message_id!r} {detail}", mend=mend, changes=((change, {"row": row}),)
        )
    for table, (found, delete, kind) in _OF_NOBODY.items():
        for (instance_id,) in session.all(found):
            detail = f"rows in {table!r} of an instance that is absent"
            deletion = (delete, {"instance_id": instance_id})
            yield AuditFinding(kind, instance_id, detail, mend="delete them", changes=(deletion,))
    yield from _permits(session, running)
    for instance_id, parent in session.all(CHILDREN_OF_NOBODY):
        detail = f"its parent {parent!r} is absent (purged?), so its result goes to nobody"
        yield AuditFinding("child", instance_id, detail, f"durable-ray terminate {instance_id}", level="warning")
    for (instance_id,) in session.all(UNTAGGED):
        yield AuditFinding(
            "row", instance_id, "it has tags by which it is not found", "restore a backup, or start it anew"
        )


def _permits(session: Session, running: bool) -> Iterator[AuditFinding]:
    for row, name, instance_id, task_id in session.all(PERMITS_OF_NOBODY):
        detail = f"a permit of activity {name!r} (#{task_id}), which it has not under way"
        yield AuditFinding(
            "permit",
            instance_id,
            detail + (", unless its attempt is still running" if running else ""),
            mend="give it back",
            changes=((FORGET_PERMIT, {"row": row}),),
            level="warning" if running else "problem",
        )
