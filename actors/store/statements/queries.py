"""What a query asks before it chooses its way: how many there are, and whether a way that has to sort is short."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, literal_column, select

from durable_ray.actors.store.schema import counters, instances
from durable_ray.actors.store.shapes import FEW
from durable_ray.actors.store.statements.core import number, text

_i = instances.c
_a_row: ColumnElement[int] = literal_column("1")
_beyond: ColumnElement[int] = literal_column(str(FEW))

COUNTS = select(counters.c.name, counters.c.status, func.sum(counters.c.n)).group_by(counters.c.name, counters.c.status)

#: Find a row beyond the first few on a way that has to sort; none means that the way is short. Of updates only the
#: finished count: where few of them match, walking in order of creation would meet mostly others, and all the live
#: ones as well.
MORE_IDS = (
    select(_a_row)
    .select_from(instances)
    .where(_i.instance_id >= text("prefix"), _i.instance_id < text("prefix_end"))
    .limit(_a_row)
    .offset(_beyond)
)
MORE_UPDATED = (
    select(_a_row).select_from(instances).where(_i.completed_at >= number("updated_from")).limit(_a_row).offset(_beyond)
)
