"""Azure's names: `import durable_ray.azure as df` where `import azure.durable_functions as df` stood.

Orchestrators and activities written for Azure's Python SDK run with that one line changed, or none (`load`); so does code
that starts and manages them through `DurableOrchestrationClient`. What cannot be had (entities, the Functions host's
triggers) can be imported, and raises an error that names the replacement when it is called.
"""

from __future__ import annotations

from durable_ray.azure.absent import (
    DurableEntityContext,
    Entity,
    EntityId,
    EntityStateResponse,
    ManagedIdentityTokenSource,
)
from durable_ray.azure.app import AzureOrchestrator as Orchestrator
from durable_ray.azure.app import Blueprint, DFApp
from durable_ray.azure.client import DurableOrchestrationClient
from durable_ray.azure.loading import load
from durable_ray.azure.statuses import DurableOrchestrationStatus, OrchestrationRuntimeStatus, PurgeHistoryResult
from durable_ray.orchestrations.authoring.azure_style import AzureContext as DurableOrchestrationContext
from durable_ray.orchestrations.authoring.generators import RetryOptions

__all__ = [
    "Blueprint",
    "DFApp",
    "DurableEntityContext",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "DurableOrchestrationStatus",
    "Entity",
    "EntityId",
    "EntityStateResponse",
    "ManagedIdentityTokenSource",
    "OrchestrationRuntimeStatus",
    "Orchestrator",
    "PurgeHistoryResult",
    "RetryOptions",
    "load",
]
