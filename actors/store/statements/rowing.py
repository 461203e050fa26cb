"""Instances whole, and their mail: the one place that knows which columns make an `InstanceRow`, and in which order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal_column, select, tuple_

from durable_ray.actors.store.records import Payloads
from durable_ray.actors.store.schema import inbox, inputs, instances
from durable_ray.actors.store.statements.core import among, number, text

_before_input = (
    "instance_id execution_id name version code_id status placement host resident turn events generation "
    "created_at updated_at started_at completed_at start_at next_due"
).split()
_after_input = (
    "output custom_status failure parent_id parent_execution parent_task tags priority recoveries waiting_reason "
    "environment settings outstanding"
).split()


def whole(payloads: Payloads = "all") -> Select[Any]:
    """Instances, in the order of columns that `rowing.to_row` takes. Payloads that are left out are neither read nor null in
    the store: they only show so."""
    nothing: ColumnElement[Any] = literal_column("NULL")
    left_out = {"output"} if payloads == "none" else set[str]()
    joined = (
        instances if payloads != "all" else instances.outerjoin(inputs, inputs.c.instance_id == instances.c.instance_id)
    )
    return select(
        *(instances.c[name] for name in _before_input),
        func.coalesce(instances.c.input, inputs.c.body) if payloads == "all" else nothing,
        *(nothing if name in left_out else instances.c[name] for name in _after_input),
    ).select_from(joined)


_named = among(instances.c.instance_id, "ids")


def _bytes(*columns: ColumnElement[Any]) -> ColumnElement[int]:
    return func.coalesce(*(func.octet_length(column) for column in columns), literal_column("0"))


ROWS = whole().where(_named)
ROWS_WITHOUT_INPUT = whole("output").where(_named)
ROWS_WITHOUT_PAYLOADS = whole("none").where(_named)

#: How many bytes each has in its input, its output and the rest; no payload is read for it.
SIZES = (
    select(
        instances.c.instance_id,
        _bytes(instances.c.input, inputs.c.body),
        _bytes(instances.c.output),
        _bytes(instances.c.custom_status) + _bytes(instances.c.failure),
    )
    .select_from(instances.outerjoin(inputs, inputs.c.instance_id == instances.c.instance_id))
    .where(_named)
)

_i = instances.c
_standing = (_i.instance_id, _i.execution_id, _i.turn, _i.status, _i.events, _i.waiting_reason)

#: What tells one state of an instance from another: of all that live, by the index of those.
LIVE_STANDINGS = (
    select(_i.host, *_standing)
    .where(_i.completed_at.is_(None), tuple_(_i.host, _i.instance_id) > tuple_(text("after_host"), text("after_id")))
    .order_by(_i.host, _i.instance_id)
    .limit(number("limit"))
)
#: Of those that ended, from some time on.
ENDED_STANDINGS = (
    select(_i.completed_at, *_standing)
    .where(
        _i.completed_at >= number("after_at"),
        tuple_(_i.completed_at, _i.instance_id) > tuple_(number("after_at"), text("after_id")),
    )
    .order_by(_i.completed_at, _i.instance_id)
    .limit(number("limit"))
)
INBOX = (
    select(inbox.c.row, inbox.c.instance_id, inbox.c.message_id, inbox.c.execution_id, inbox.c.body)
    .where(among(inbox.c.instance_id, "ids"))
    .order_by(inbox.c.row)
)
