"""The client's operations, each written once as steps (`steps.py`) for the blocking and the awaitable client."""

from __future__ import annotations

from durable_ray.client.operations.base import H
from durable_ray.client.operations.bulk import BulkOperations
from durable_ray.client.operations.gateway import GatewayOperations
from durable_ray.client.operations.managing import LifecycleOperations
from durable_ray.client.operations.messaging import MessageOperations
from durable_ray.client.operations.scheduling import ScheduleOperations
from durable_ray.client.operations.starting import StartOperations
from durable_ray.client.operations.waiting import WaitOperations

__all__ = ["H", "Operations"]


class Operations(
    StartOperations[H],
    MessageOperations[H],
    LifecycleOperations[H],
    BulkOperations[H],
    GatewayOperations[H],
    WaitOperations[H],
    ScheduleOperations[H],
):
    """Everything a client can do."""
