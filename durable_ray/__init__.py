"""Durable orchestrations on Ray: plain Python functions that survive the death of their process, node and cluster."""

from __future__ import annotations

from durable_ray.actors.activity_runner import ActivityContext
from durable_ray.actors.errors import (
    DurableRayError,
    HubUnavailable,
    InstanceAlreadyExists,
    InstanceFinished,
    InstanceNotFound,
    InvalidState,
    OrchestrationFailed,
    OrchestrationTerminated,
    ProtocolMismatch,
    UnknownDefinition,
)
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.status import OrchestrationStatus, RuntimeStatus
from durable_ray.actors.store.contract import HubInUse
from durable_ray.client import AsyncClient, Client
from durable_ray.handle import AsyncOrchestrationHandle, OrchestrationHandle
from durable_ray.orchestrations.context import OrchestrationContext
from durable_ray.orchestrations.decorators import activity, orchestrator
from durable_ray.orchestrations.failures import (
    ActivityFailed,
    FailureDetails,
    NonDeterminismError,
    NonRetryable,
    SubOrchestrationFailed,
    TaskFailed,
)
from durable_ray.orchestrations.ids import InvalidInstanceId
from durable_ray.orchestrations.retries import RetryPolicy

__all__ = [
    "ActivityContext",
    "ActivityFailed",
    "AsyncClient",
    "AsyncOrchestrationHandle",
    "Client",
    "DurableRayError",
    "FailureDetails",
    "HubInUse",
    "HubSettings",
    "HubUnavailable",
    "InstanceAlreadyExists",
    "InstanceFinished",
    "InstanceNotFound",
    "InvalidInstanceId",
    "InvalidState",
    "NonDeterminismError",
    "NonRetryable",
    "OrchestrationContext",
    "OrchestrationFailed",
    "OrchestrationHandle",
    "OrchestrationStatus",
    "OrchestrationTerminated",
    "ProtocolMismatch",
    "RetryPolicy",
    "RuntimeStatus",
    "SubOrchestrationFailed",
    "TaskFailed",
    "UnknownDefinition",
    "activity",
    "orchestrator",
]
__version__ = "0.1.0"
