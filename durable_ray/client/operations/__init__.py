"""The client's operations, each written once as steps (`steps.py`) for the blocking and the awaitable client."""

from __future__ import annotations

from durable_ray.client.operations.base import H
from durable_ray.client.operations.bulk import Bulk
from durable_ray.client.operations.gateway import GatewayOperations
from durable_ray.client.operations.managing import Managing
from durable_ray.client.operations.messaging import Messaging
from durable_ray.client.operations.starting import Starting

__all__ = ["H", "Operations"]


class Operations(Starting[H], Messaging[H], Managing[H], Bulk[H], GatewayOperations[H]):
    """Everything a client can do."""
