"""What must hold between the tables, asked as what does not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Table, and_, exists, func, literal_column, not_, or_, select

from durable_ray.actors.store.records import FINISHED
from durable_ray.actors.store.schema import counters, history, inbox, inputs, instances, tags

_i = instances.c
_finished = _i.status.in_([literal_column(f"'{status}'") for status in FINISHED])

TRUTH = select(_i.name, _i.status, func.count()).group_by(_i.name, _i.status)
COUNTED = select(counters.c.name, counters.c.status, func.sum(counters.c.n)).group_by(
    counters.c.name, counters.c.status
)
#: What a row says of itself. A finished one has an end (its last change), is due for nothing, and only it expires.
AT_ODDS = select(_i.instance_id, _i.status).where(
    or_(
        and_(
            _finished,
            or_(_i.completed_at.is_(None), _i.completed_at != _i.updated_at, _i.next_due.is_not(None)),
        ),
        and_(not_(_finished), or_(_i.completed_at.is_not(None), _i.expires.is_not(None))),
    )
)
MISADDRESSED = select(inbox.c.instance_id, inbox.c.message_id).where(
    ~exists().where(
        _i.instance_id == inbox.c.instance_id,
        _i.completed_at.is_(None),
        _i.host == inbox.c.host,
        _i.placement == inbox.c.placement,
    )
)
OLD_HISTORY = select(history.c.instance_id, history.c.execution_id).where(
    ~exists().where(_i.instance_id == history.c.instance_id, _i.execution_id == history.c.execution_id)
)


def _orphans(table: Table) -> Select[Any]:
    return select(table.c.instance_id).where(~exists().where(_i.instance_id == table.c.instance_id))


ORPHANED_INPUTS = _orphans(inputs)
ORPHANED_TAGS = _orphans(tags)
