"""Integrity check of a whole store: counters, addresses of messages, orphaned rows, contradictory columns.

For tests after faults and for `doctor`. Reads every instance, so not for a hot path.
"""

from __future__ import annotations

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import SqlStore
from durable_ray.actors.store.sql.statement import Session, Statement

TRUTH = Statement("SELECT name, status, count(*) FROM instances GROUP BY name, status")
COUNTED = Statement("SELECT name, status, sum(n) FROM counters GROUP BY name, status")
#: Columns that contradict each other. A finished row has an end (its last update), no due time, and only it expires; a queued
#: one has had no turn, and time does not start it.
AT_ODDS = Statement("""
    SELECT instance_id, status
    FROM instances
    WHERE CASE WHEN status IN ('Completed', 'Failed', 'Terminated')
        THEN completed_at IS NULL OR completed_at != updated_at OR next_due IS NOT NULL OR queued
        ELSE completed_at IS NOT NULL OR expires IS NOT NULL OR (queued AND (turn > 0 OR next_due IS NOT NULL))
        END
    """)
MISADDRESSED = Statement("""
    SELECT inbox.instance_id, inbox.message_id
    FROM inbox
    WHERE NOT EXISTS (
        SELECT *
        FROM instances
        WHERE instances.instance_id = inbox.instance_id
            AND instances.completed_at IS NULL
            AND instances.host = inbox.host
            AND instances.placement = inbox.placement
    )
    """)
OLD_HISTORY = Statement("""
    SELECT history.instance_id, history.execution_id
    FROM history
    WHERE NOT EXISTS (
        SELECT *
        FROM instances
        WHERE instances.instance_id = history.instance_id AND instances.execution_id = history.execution_id
    )
    """)
#: Rows of an instance that is absent.
_ORPHANS = {
    table: Statement(f"""
        SELECT {table}.instance_id
        FROM {table}
        WHERE NOT EXISTS (SELECT * FROM instances WHERE instances.instance_id = {table}.instance_id)
        """)
    for table in ("inputs", "tags")
}


def check(store: Store) -> list[str]:
    """Sentences about what does not hold; empty if all is well.

    Example:
        >>> from durable_ray.actors.store.opening import open_store
        >>> check(open_store("sqlite://"))
        []
    """
    if not isinstance(store, SqlStore):
        raise TypeError(f"only a store opened by open_store can be checked, not {type(store).__name__}")
    with store.database.read() as session:
        return [
            *miscounted(session),
            *(f"{row[0]!r} is {row[1]}, which its times contradict" for row in session.all(AT_ODDS)),
            *(
                f"message {row[1]!r} waits for {row[0]!r}, which is absent, finished or elsewhere"
                for row in session.all(MISADDRESSED)
            ),
            *(
                f"{row[0]!r} has history of an execution {row[1]!r} that is not its own"
                for row in session.all(OLD_HISTORY)
            ),
            *(
                f"{table} of {row[0]!r}, which is absent"
                for table, statement in _ORPHANS.items()
                for row in session.all(statement)
            ),
        ]


def miscounted(session: Session) -> list[str]:
    """Sentences about counters that differ from what they count."""
    truth = {(name, status): int(n) for name, status, n in session.all(TRUTH)}
    counted = {(name, status): int(n) for name, status, n in session.all(COUNTED)}
    return [
        f"the counters say {counted.get(key, 0)} of {key[0]!r} are {key[1]}, there are {truth.get(key, 0)}"
        for key in sorted(truth.keys() | counted.keys())
        if truth.get(key, 0) != counted.get(key, 0)
    ]
