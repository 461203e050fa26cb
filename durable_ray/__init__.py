"""Durable orchestrations on Ray: plain Python functions that survive the death of their process, node and cluster.

Names are loaded when they are first used: every Ray worker that runs an activity imports this package, and few of them need
a client, a store or a command line.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from durable_ray.orchestrations.values import showing

if TYPE_CHECKING:
    from durable_ray.actors.errors import (
        DurableRayError,
        HistoryMismatch,
        HubUnavailable,
        InstanceAlreadyExists,
        InstanceFinished,
        InstanceNotFound,
        InvalidState,
        OrchestrationFailed,
        OrchestrationTerminated,
        ProtocolMismatch,
        ScheduleAlreadyExists,
        ScheduleChanged,
        ScheduleNotFound,
        UnknownDefinition,
    )
    from durable_ray.actors.instances.status import OrchestrationStatus, RuntimeStatus
    from durable_ray.actors.instances.waits import Wait
    from durable_ray.actors.settings import HubSettings
    from durable_ray.actors.store.contract import HubInUse, InvalidToken, StoreUnusable
    from durable_ray.client.client import AsyncClient, Client
    from durable_ray.client.handle import AsyncOrchestrationHandle, OrchestrationHandle
    from durable_ray.client.inside import client_of, management_payload
    from durable_ray.client.operations.asking import InstancePage
    from durable_ray.client.operations.bulk import BulkReport
    from durable_ray.client.operations.gateway import HttpAnswer
    from durable_ray.client.operations.managing import PurgeResult
    from durable_ray.client.operations.start_objects import StartObject, StartObjectInvalid
    from durable_ray.client.schedule_view import ScheduleDescription, ScheduleRun, ScheduleSkip
    from durable_ray.orchestrations.authoring.activity_context import ActivityContext
    from durable_ray.orchestrations.authoring.arguments import BoundActivity, BoundOrchestrator, InvalidArguments
    from durable_ray.orchestrations.authoring.context import OrchestrationContext
    from durable_ray.orchestrations.authoring.decorators import activity, orchestrator
    from durable_ray.orchestrations.authoring.retries import RetryPolicy
    from durable_ray.orchestrations.schedules.declared import DeclaredSchedule
    from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
    from durable_ray.orchestrations.schedules.schedule import Schedule, ScheduleAction, SchedulePolicy
    from durable_ray.orchestrations.schedules.spec import Calendar, Cron, Interval, OneTime, Period, ScheduleSpec
    from durable_ray.orchestrations.values.failures import (
        ActivityFailed,
        FailureDetails,
        NonDeterminismError,
        NonRetryable,
        SubOrchestrationFailed,
        TaskFailed,
    )
    from durable_ray.orchestrations.values.ids import InvalidInstanceId
    from durable_ray.orchestrations.values.payloads import UnreadablePayload

__all__ = [
    "ActivityContext",
    "ActivityFailed",
    "AsyncClient",
    "AsyncOrchestrationHandle",
    "BoundActivity",
    "BoundOrchestrator",
    "BulkReport",
    "Calendar",
    "Client",
    "Cron",
    "DeclaredSchedule",
    "DurableRayError",
    "FailureDetails",
    "HistoryMismatch",
    "HttpAnswer",
    "HubInUse",
    "HubSettings",
    "HubUnavailable",
    "InstanceAlreadyExists",
    "InstanceFinished",
    "InstanceNotFound",
    "InstancePage",
    "Interval",
    "InvalidArguments",
    "InvalidInstanceId",
    "InvalidSchedule",
    "InvalidState",
    "InvalidToken",
    "NonDeterminismError",
    "NonRetryable",
    "OneTime",
    "OrchestrationContext",
    "OrchestrationFailed",
    "OrchestrationHandle",
    "OrchestrationStatus",
    "OrchestrationTerminated",
    "Period",
    "ProtocolMismatch",
    "PurgeResult",
    "RetryPolicy",
    "RuntimeStatus",
    "Schedule",
    "ScheduleAction",
    "ScheduleAlreadyExists",
    "ScheduleChanged",
    "ScheduleDescription",
    "ScheduleNotFound",
    "SchedulePolicy",
    "ScheduleRun",
    "ScheduleSkip",
    "ScheduleSpec",
    "StartObject",
    "StartObjectInvalid",
    "StoreUnusable",
    "SubOrchestrationFailed",
    "TaskFailed",
    "UnknownDefinition",
    "UnreadablePayload",
    "Wait",
    "activity",
    "client_of",
    "management_payload",
    "orchestrator",
]
__version__ = "0.1.0"

#: Where each public name lives.
_HOME = {
    "ActivityContext": "durable_ray.orchestrations.authoring.activity_context",
    "ActivityFailed": "durable_ray.orchestrations.values.failures",
    "AsyncClient": "durable_ray.client.client",
    "AsyncOrchestrationHandle": "durable_ray.client.handle",
    "BoundActivity": "durable_ray.orchestrations.authoring.arguments",
    "BoundOrchestrator": "durable_ray.orchestrations.authoring.arguments",
    "BulkReport": "durable_ray.client.operations.bulk",
    "Calendar": "durable_ray.orchestrations.schedules.spec",
    "Client": "durable_ray.client.client",
    "Cron": "durable_ray.orchestrations.schedules.spec",
    "DeclaredSchedule": "durable_ray.orchestrations.schedules.declared",
    "DurableRayError": "durable_ray.actors.errors",
    "FailureDetails": "durable_ray.orchestrations.values.failures",
    "HistoryMismatch": "durable_ray.actors.errors",
    "HttpAnswer": "durable_ray.client.operations.gateway",
    "HubInUse": "durable_ray.actors.store.contract",
    "HubSettings": "durable_ray.actors.settings",
    "HubUnavailable": "durable_ray.actors.errors",
    "InstanceAlreadyExists": "durable_ray.actors.errors",
    "InstanceFinished": "durable_ray.actors.errors",
    "InstanceNotFound": "durable_ray.actors.errors",
    "InstancePage": "durable_ray.client.operations.asking",
    "Interval": "durable_ray.orchestrations.schedules.spec",
    "InvalidArguments": "durable_ray.orchestrations.authoring.arguments",
    "InvalidInstanceId": "durable_ray.orchestrations.values.ids",
    "InvalidSchedule": "durable_ray.orchestrations.schedules.patterns",
    "InvalidState": "durable_ray.actors.errors",
    "InvalidToken": "durable_ray.actors.store.contract",
    "NonDeterminismError": "durable_ray.orchestrations.values.failures",
    "NonRetryable": "durable_ray.orchestrations.values.failures",
    "OneTime": "durable_ray.orchestrations.schedules.spec",
    "OrchestrationContext": "durable_ray.orchestrations.authoring.context",
    "OrchestrationFailed": "durable_ray.actors.errors",
    "OrchestrationHandle": "durable_ray.client.handle",
    "OrchestrationStatus": "durable_ray.actors.instances.status",
    "OrchestrationTerminated": "durable_ray.actors.errors",
    "Period": "durable_ray.orchestrations.schedules.spec",
    "ProtocolMismatch": "durable_ray.actors.errors",
    "PurgeResult": "durable_ray.client.operations.managing",
    "RetryPolicy": "durable_ray.orchestrations.authoring.retries",
    "RuntimeStatus": "durable_ray.actors.instances.status",
    "Schedule": "durable_ray.orchestrations.schedules.schedule",
    "ScheduleAction": "durable_ray.orchestrations.schedules.schedule",
    "ScheduleAlreadyExists": "durable_ray.actors.errors",
    "ScheduleChanged": "durable_ray.actors.errors",
    "ScheduleDescription": "durable_ray.client.schedule_view",
    "ScheduleNotFound": "durable_ray.actors.errors",
    "SchedulePolicy": "durable_ray.orchestrations.schedules.schedule",
    "ScheduleRun": "durable_ray.client.schedule_view",
    "ScheduleSkip": "durable_ray.client.schedule_view",
    "ScheduleSpec": "durable_ray.orchestrations.schedules.spec",
    "StartObject": "durable_ray.client.operations.start_objects",
    "StartObjectInvalid": "durable_ray.client.operations.start_objects",
    "StoreUnusable": "durable_ray.actors.store.contract",
    "SubOrchestrationFailed": "durable_ray.orchestrations.values.failures",
    "TaskFailed": "durable_ray.orchestrations.values.failures",
    "UnknownDefinition": "durable_ray.actors.errors",
    "UnreadablePayload": "durable_ray.orchestrations.values.payloads",
    "Wait": "durable_ray.actors.instances.waits",
    "activity": "durable_ray.orchestrations.authoring.decorators",
    "client_of": "durable_ray.client.inside",
    "management_payload": "durable_ray.client.inside",
    "orchestrator": "durable_ray.orchestrations.authoring.decorators",
}


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'durable_ray' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _html_of(value: Any) -> Any:
    return importlib.import_module("durable_ray.notebook.rendering").rendered(value)


showing.render_with(_html_of)
