"""Contract: a value of ours is to users what a dataclass was: to pydantic, to JSON, to pickle, and when it is written to."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from durable_ray.actors.status import OrchestrationStatus, RuntimeStatus
from durable_ray.orchestrations import events as ev
from durable_ray.orchestrations.failures import FailureDetails
from durable_ray.orchestrations.payloads import decode, encode, is_pickled
from durable_ray.orchestrations.retries import RetryPolicy
from durable_ray.orchestrations.values import as_dict

INNER = FailureDetails("builtins.KeyError", "'x'", bases=("builtins.KeyError",))
FAILURE = FailureDetails("builtins.ValueError", "no", cause=INNER)
AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
HISTORY: tuple[ev.Event, ...] = (
    ev.TurnStarted(1),
    ev.ActivityFailed(1, FAILURE),
    ev.ActivityScheduled(1, "a", retry=RetryPolicy(5)),
)
STATUS = OrchestrationStatus("n", "i", RuntimeStatus.FAILED, AT, AT, failure=FAILURE, history=HISTORY, tags={"a": "b"})

VALUES: list[tuple[Any, Any]] = [
    (FAILURE, FailureDetails),
    (STATUS, OrchestrationStatus),
    ([FAILURE], list[FailureDetails]),
    ({"a": STATUS}, dict[str, OrchestrationStatus]),
    (ev.ActivityFailed(1, FAILURE), ev.ActivityFailed),
    (RetryPolicy(2, 5), RetryPolicy),
]


@pytest.mark.parametrize(("value", "hint"), VALUES[:-1], ids=lambda part: str(part)[:40])
def test_an_activity_may_return_it_and_its_type_hint_brings_it_back(value: Any, hint: Any) -> None:
    payload = encode(value)
    assert not is_pickled(payload)
    assert decode(payload, hint) == value


def test_json_has_every_field_in_order() -> None:
    assert encode(INNER) == (
        '{"error_type":"builtins.KeyError","message":"\'x\'","stack_trace":"","bases":["builtins.KeyError"],'
        '"cause":null,"non_retryable":false}'
    )
    assert encode([ev.TimerFired(2)]) == '[{"task_id":2}]'


def test_it_may_be_a_field_of_a_users_model_or_dataclass() -> None:
    class Report(BaseModel):
        status: OrchestrationStatus
        failures: list[FailureDetails] = []

    @dataclasses.dataclass
    class Plain:
        failure: FailureDetails

    report = Report(status=STATUS, failures=[FAILURE])
    assert report.status is STATUS
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert decode(encode(report), Report) == report
    assert decode(encode(Plain(FAILURE)), TypeAdapter(Plain).validate_python({"failure": FAILURE}).__class__) == Plain(
        FAILURE
    )


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(FailureDetails).validate_python({"error_type": "E", "cause": {"error_type": "E"}})
    assert {error["loc"] for error in caught.value.errors()} == {("message",), ("cause", "message")}


def test_its_json_schema_names_its_fields() -> None:
    schema = TypeAdapter(OrchestrationStatus).json_schema(mode="serialization")
    assert "runtime_status" in str(schema)
    assert "error_type" in str(TypeAdapter(list[FailureDetails]).json_schema())


@pytest.mark.parametrize("value", [value for value, _ in VALUES] + list(HISTORY), ids=lambda part: str(part)[:40])
def test_it_is_pickled_as_what_it_is(value: Any) -> None:
    found = pickle.loads(pickle.dumps(value, protocol=5))
    assert found == value
    assert repr(found) == repr(value)


def test_it_cannot_be_written_to() -> None:
    with pytest.raises(AttributeError):
        FAILURE.message = "yes"  # type: ignore[misc]
    assert hash(FAILURE) == hash(FailureDetails("builtins.ValueError", "no", cause=INNER))
    assert repr(ev.TimerFired(2)) == "TimerFired(task_id=2)"


def test_its_fields_as_a_dict() -> None:
    told = as_dict(FAILURE)
    assert told["cause"] == {**told, "error_type": "builtins.KeyError", "message": "'x'", "cause": None} | {
        "bases": ("builtins.KeyError",)
    }
    assert as_dict(HISTORY[2])["retry"] == dataclasses.asdict(RetryPolicy(5))
