"""Azure's module of that name, and the modules below it from which apps import: each class in the module named after it."""

from __future__ import annotations

import sys

from durable_ray.azure.absent import DurableEntityContext, EntityId, EntityStateResponse, ManagedIdentityTokenSource
from durable_ray.azure.client import DurableOrchestrationClient
from durable_ray.azure.statuses import DurableOrchestrationStatus, OrchestrationRuntimeStatus, PurgeHistoryResult
from durable_ray.orchestrations.authoring.azure_style import AzureContext as DurableOrchestrationContext
from durable_ray.orchestrations.authoring.azure_style import AzureTask as TaskBase
from durable_ray.orchestrations.authoring.generators import RetryOptions

#: Tasks are of one kind here.
AtomicTask = TimerTask = WhenAllTask = WhenAnyTask = TaskBase

__all__ = [
    "AtomicTask",
    "DurableEntityContext",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "DurableOrchestrationStatus",
    "EntityId",
    "EntityStateResponse",
    "ManagedIdentityTokenSource",
    "OrchestrationRuntimeStatus",
    "PurgeHistoryResult",
    "RetryOptions",
    "TaskBase",
    "TimerTask",
    "WhenAllTask",
    "WhenAnyTask",
]

_MODULES = (
    "DurableEntityContext",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "DurableOrchestrationStatus",
    "EntityStateResponse",
    "OrchestrationRuntimeStatus",
    "PurgeHistoryResult",
    "RetryOptions",
    "Task",
    "TokenSource",
    "utils",
    "utils.entity_utils",
)
#: `from durable_ray.azure.models.Task import TaskBase`: all of them are this module.
__path__: list[str] = []
for _name in _MODULES:
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
