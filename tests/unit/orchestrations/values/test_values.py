"""Contract: a value of ours is to users what a dataclass was: to pydantic, to JSON, to pickle, and when it is written to."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from durable_ray.actors.instances.status import OrchestrationStatus, RuntimeStatus
from durable_ray.actors.messages import Hello
from durable_ray.orchestrations.authoring.generators import RetryOptions
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.authoring.signatures import Hints, Shape
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.payloads import decode, encode, is_pickled

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
        '"cause":null,"non_retryable":false,"members":[]}'
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


OLD_PICKLES: list[tuple[Any, bytes]] = [
    (
        Hello("r", "h", 2, 1, 7, "s", partitions=3),
        b"\x80\x05\x95I\x00\x00\x00\x00\x00\x00\x00\x8c\x1bdurable_ray.actors.messages\x94\x8c\x05Hello\x94\x93\x94)\x81\x94]\x94(\x8c\x01r\x94\x8c\x01h\x94K\x02K\x01K\x07\x8c\x01s\x94\x8c\x00\x94K\x03\x89eb.",
    ),
    (
        Shape(True, "x", True),
        b"\x80\x05\x95K\x00\x00\x00\x00\x00\x00\x00\x8c/durable_ray.orchestrations.authoring.signatures\x94\x8c\x05Shape\x94\x93\x94)\x81\x94]\x94(\x88\x8c\x01x\x94\x88eb.",
    ),
    (
        Hints(int),
        b"\x80\x05\x95Y\x00\x00\x00\x00\x00\x00\x00\x8c/durable_ray.orchestrations.authoring.signatures\x94\x8c\x05Hints\x94\x93\x94)\x81\x94]\x94(\x8c\x08builtins\x94\x8c\x03int\x94\x93\x94Neb.",
    ),
    (
        RetryPolicy(2, 5),
        b"\x80\x05\x95\\\x00\x00\x00\x00\x00\x00\x00\x8c,durable_ray.orchestrations.authoring.retries\x94\x8c\x0bRetryPolicy\x94\x93\x94)\x81\x94]\x94(J\x80\x84\x1e\x00K\x05G?\xf0\x00\x00\x00\x00\x00\x00NNN)eb.",
    ),
    (
        ActivityOptions("a"),
        b"\x80\x05\x95_\x00\x00\x00\x00\x00\x00\x00\x8c,durable_ray.orchestrations.authoring.options\x94\x8c\x0fActivityOptions\x94\x93\x94)\x81\x94]\x94(\x8c\x01a\x94NN\x89\x89NNNNNNNNNNNeb.",
    ),
    (
        OrchestratorOptions("o"),
        b"\x80\x05\x95{\x00\x00\x00\x00\x00\x00\x00\x8c,durable_ray.orchestrations.authoring.options\x94\x8c\x13OrchestratorOptions\x94\x93\x94)\x81\x94]\x94(\x8c\x01o\x94\x8c\x00\x94Nh\x00\x8c\x05Unset\x94\x93\x94\x8c\x05unset\x94\x85\x94R\x94h\x0bNNNNN\x89K\x00Neb.",
    ),
    (
        RetryOptions(5, 3),
        b"\x80\x05\x95P\x00\x00\x00\x00\x00\x00\x00\x8c/durable_ray.orchestrations.authoring.generators\x94\x8c\x0cRetryOptions\x94\x93\x94)\x81\x94]\x94(K\x05K\x03eb.",
    ),
]


@pytest.mark.parametrize(("value", "pickled"), OLD_PICKLES, ids=[type(value).__name__ for value, _ in OLD_PICKLES])
def test_what_a_stored_pickle_of_a_definition_holds_is_read_as_ever(value: Any, pickled: bytes) -> None:
    """And a hello, or two releases that meet could not say so."""
    assert pickle.loads(pickled) == value


def test_it_cannot_be_written_to() -> None:
    with pytest.raises(AttributeError):
        FAILURE.message = "yes"  # type: ignore[misc]
    assert hash(FAILURE) == hash(FailureDetails("builtins.ValueError", "no", cause=INNER))
    assert repr(ev.TimerFired(2)) == "TimerFired(task_id=2)"


def test_its_fields_as_a_dict() -> None:
    told = dataclasses.asdict(FAILURE)
    assert told["cause"] == {**told, "error_type": "builtins.KeyError", "message": "'x'", "cause": None} | {
        "bases": ("builtins.KeyError",)
    }
    assert dataclasses.asdict(HISTORY[2])["retry"] == dataclasses.asdict(RetryPolicy(5))


@pytest.mark.parametrize("value", [FAILURE, STATUS, *HISTORY], ids=lambda one: type(one).__name__)
def test_it_is_a_dataclass_to_whoever_asks(value: Any) -> None:
    assert dataclasses.is_dataclass(value)
    assert dataclasses.is_dataclass(type(value))
    fields = dataclasses.fields(value)
    assert {field.name: field.type for field in fields} == type(value).__annotations__
    assert type(value)(**{field.name: getattr(value, field.name) for field in fields}) == value
    again = dataclasses.replace(value)
    assert type(again) is type(value)
    assert again == value
