"""The front door is pinned: what `durable_ray` exports is decided here, exists, is documented, in order.

A name that appears or goes without a change to this list is an accident. What a name does is held elsewhere.
"""

from __future__ import annotations

import importlib.resources
import inspect
import subprocess
import sys

import pytest

import durable_ray

PUBLIC = [
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


def test_the_exports_are_those_that_were_decided() -> None:
    assert list(durable_ray.__all__) == PUBLIC


def test_the_exports_are_sorted_and_unique() -> None:
    assert list(durable_ray.__all__) == sorted(set(durable_ray.__all__))


def test_nothing_heavy_is_loaded_before_it_is_used() -> None:
    script = "import durable_ray, sys; print([m for m in ('ray', 'sqlalchemy', 'alembic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", PUBLIC)
def test_an_export_exists_and_says_what_it_is(name: str) -> None:
    value = getattr(durable_ray, name)
    if callable(value) or inspect.ismodule(value):
        # Not inspect.getdoc: a docstring inherited from a base class says nothing about this one.
        written = (value.__doc__ or "").strip()
        assert written, f"durable_ray.{name} has no docstring."
        assert not written.startswith(f"{name}("), f"durable_ray.{name} has only the docstring dataclasses make."


def test_the_package_says_that_it_is_typed() -> None:
    assert importlib.resources.files(durable_ray).joinpath("py.typed").is_file()
