"""What must hold between the tables whenever nobody is writing: the store's own bookkeeping, looked at as a whole.

For tests after faults and for `doctor`. Reads every instance, so not for a hot path.
"""

from __future__ import annotations

from sqlalchemy import Table, and_, exists, func, literal_column, not_, or_, select

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import SqlStore
from durable_ray.actors.store.records import FINISHED
from durable_ray.actors.store.schema import counters, history, inbox, inputs, instances, tags
from durable_ray.actors.store.sql import Session, Statement

_i = instances.c
_finished = _i.status.in_([literal_column(f"'{status}'") for status in FINISHED])


def _count_of(column: str) -> Statement:
    table = {"rows": instances, "counters": counters}[column]
    n = func.count() if table is instances else func.sum(counters.c.n)
    return Statement(select(table.c.name, table.c.status, n).group_by(table.c.name, table.c.status))


_TRUTH, _COUNTED = _count_of("rows"), _count_of("counters")

#: What a row says of itself. A finished one has an end (its last change), is due for nothing, and only it expires.
_AT_ODDS = Statement(
    select(_i.instance_id, _i.status).where(
        or_(
            and_(
                _finished,
                or_(_i.completed_at.is_(None), _i.completed_at != _i.updated_at, _i.next_due.is_not(None)),
            ),
            and_(not_(_finished), or_(_i.completed_at.is_not(None), _i.expires.is_not(None))),
        )
    )
)
_MISADDRESSED = Statement(
    select(inbox.c.instance_id, inbox.c.message_id).where(
        ~exists().where(
            _i.instance_id == inbox.c.instance_id,
            _i.completed_at.is_(None),
            _i.host == inbox.c.host,
            _i.placement == inbox.c.placement,
        )
    )
)
_OLD_HISTORY = Statement(
    select(history.c.instance_id, history.c.execution_id).where(
        ~exists().where(_i.instance_id == history.c.instance_id, _i.execution_id == history.c.execution_id)
    )
)


def _orphans(table: Table) -> Statement:
    return Statement(select(table.c.instance_id).where(~exists().where(_i.instance_id == table.c.instance_id)))


_ORPHANS = {table.name: _orphans(table) for table in (inputs, tags)}


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
            *_miscounted(session),
            *(f"{row[0]!r} is {row[1]}, which its times contradict" for row in session.all(_AT_ODDS)),
            *(
                f"message {row[1]!r} waits for {row[0]!r}, which is absent, finished or elsewhere"
                for row in session.all(_MISADDRESSED)
            ),
            *(
                f"{row[0]!r} has history of an execution {row[1]!r} that is not its own"
                for row in session.all(_OLD_HISTORY)
            ),
            *(
                f"{table} of {row[0]!r}, which is absent"
                for table, statement in _ORPHANS.items()
                for row in session.all(statement)
            ),
        ]


def _miscounted(session: Session) -> list[str]:
    truth = {(name, status): int(n) for name, status, n in session.all(_TRUTH)}
    counted = {(name, status): int(n) for name, status, n in session.all(_COUNTED)}
    return [
        f"the counters say {counted.get(key, 0)} of {key[0]!r} are {key[1]}, there are {truth.get(key, 0)}"
        for key in sorted(truth.keys() | counted.keys())
        if truth.get(key, 0) != counted.get(key, 0)
    ]
