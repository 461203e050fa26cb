"""The client's operations, each written once as steps (`steps.py`) for the blocking and the awaitable client."""

from __future__ import annotations

from durable_ray.operations.base import H
from durable_ray.operations.bulk import Bulk
from durable_ray.operations.gateway import GatewayOperations
from durable_ray.operations.managing import Managing
from durable_ray.operations.messaging import Messaging
from durable_ray.operations.starting import Starting

__all__ = ["H", "Operations"]


class Operations(Starting[H], Messaging[H], Managing[H], Bulk[H], GatewayOperations[H]):
    """Everything a client can do."""
