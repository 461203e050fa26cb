"""What is known by name."""

from __future__ import annotations

from sqlalchemy import select

from durable_ray.actors.store.schema import history, receipts
from durable_ray.actors.store.statements.core import among

HISTORIES = (
    select(history.c.instance_id, history.c.execution_id, history.c.body)
    .where(among(history.c.instance_id, "ids"))
    .order_by(history.c.instance_id, history.c.execution_id, history.c.first_event)
)
RECEIPTS = select(receipts.c.request_id, receipts.c.outcome).where(among(receipts.c.request_id, "ids"))
