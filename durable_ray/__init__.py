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
from durable_ray.actors.store.contract import HubInUse, InvalidToken
from durable_ray.client import AsyncClient, Client
from durable_ray.handle import AsyncOrchestrationHandle, OrchestrationHandle
from durable_ray.inside import client_of, management_payload
from durable_ray.operations.asking import InstancePage
from durable_ray.operations.bulk import BulkReport
from durable_ray.operations.gateway import HttpAnswer
from durable_ray.operations.managing import PurgeResult
from durable_ray.operations.start_objects import StartObject, StartObjectInvalid
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
    "BulkReport",
    "Client",
    "DurableRayError",
    "FailureDetails",
    "HttpAnswer",
    "HubInUse",
    "HubSettings",
    "HubUnavailable",
    "InstanceAlreadyExists",
    "InstanceFinished",
    "InstanceNotFound",
    "InstancePage",
    "InvalidInstanceId",
    "InvalidState",
    "InvalidToken",
    "NonDeterminismError",
    "NonRetryable",
    "OrchestrationContext",
    "OrchestrationFailed",
    "OrchestrationHandle",
    "OrchestrationStatus",
    "OrchestrationTerminated",
    "ProtocolMismatch",
    "PurgeResult",
    "RetryPolicy",
    "RuntimeStatus",
    "StartObject",
    "StartObjectInvalid",
    "SubOrchestrationFailed",
    "TaskFailed",
    "UnknownDefinition",
    "activity",
    "client_of",
    "management_payload",
    "orchestrator",
]
__version__ = "0.1.0"
