"""A row as users see it: aware times, opened payloads, a failure's text as output, and typed errors for endings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.errors import InstanceNotFound, OrchestrationFailed, OrchestrationTerminated
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.instances.status import RuntimeStatus, micros, moment, result_of, status_of
from durable_ray.actors.messages import Ending
from durable_ray.actors.store.records import NewInstance
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.orchestrations.history.events import ExecutionFailed, ParentAddress, TurnStarted
from durable_ray.orchestrations.values.failures import FailureDetails

NEW = NewInstance("i", "e", "n", "h", "shared", 1_000_000, input='{"a": 1}', parent=ParentAddress("p", "pe", 1))
ROW = InstanceFactory.row(NEW)
FAILED = encode_event(ExecutionFailed(FailureDetails("builtins.ValueError", "wrong")))


def test_times_are_aware_and_exact() -> None:
    assert moment(1_000_001) == datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    assert micros(moment(1_893_456_000_123_456)) == 1_893_456_000_123_456
    assert micros(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0
    assert micros(datetime(1970, 1, 1, 0, 0, 1)) == 1_000_000


def test_a_pending_instance() -> None:
    status = status_of(ROW)
    assert (status.runtime_status, status.input, status.output) == (RuntimeStatus.PENDING, {"a": 1}, None)
    assert (status.created_time, status.started_time, status.completed_time) == (moment(1_000_000), None, None)
    assert (status.parent_instance_id, status.history, bool(status)) == ("p", None, True)
    assert status_of(ROW, show_input=False).input is None


def test_a_failure_is_output_and_details() -> None:
    status = status_of(replace(ROW, status="Failed", failure=FAILED))
    assert status.failure == FailureDetails("builtins.ValueError", "wrong")
    assert "wrong" in status.output


def test_history_is_opened() -> None:
    events = [TurnStarted(1), TurnStarted(2), TurnStarted(3)]
    assert status_of(ROW, events).history == (TurnStarted(1), TurnStarted(2), TurnStarted(3))


def test_words_of_a_status() -> None:
    assert {status for status in RuntimeStatus if status.finished} == {"Completed", "Failed", "Terminated", "Canceled"}


def test_endings_are_results_or_errors() -> None:
    assert result_of(Ending("i", "Completed", '{"a": 1}')) == {"a": 1}
    assert result_of(Ending("i", "Completed", PYTHON_PAYLOADS.encode("\ud800"))) == "\ud800"
    with pytest.raises(InstanceNotFound):
        result_of(Ending("i", "absent"))
    with pytest.raises(OrchestrationFailed) as failed:
        result_of(Ending("i", "Failed", None, FAILED))
    assert failed.value.is_caused_by(ValueError)
    with pytest.raises(OrchestrationTerminated) as ended:
        result_of(Ending("i", "Terminated", '"why"'))
    assert ended.value.reason == "why"
