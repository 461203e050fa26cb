"""A status as plain values: what is logged, stored or answered is JSON that anybody can read."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import durable_ray as dr
from durable_ray.actors.instances.status import RuntimeStatus
from durable_ray.orchestrations.history.events import ActivityCompleted, ExecutionFailed
from durable_ray.orchestrations.values.failures import FailureDetails

AT = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FAILURE = FailureDetails.of(ValueError("no"))


def test_a_status_is_a_dict_and_json() -> None:
    status = dr.OrchestrationStatus(
        "order",
        "o-1",
        RuntimeStatus.FAILED,
        AT,
        AT,
        input={"n": 1},
        output="ValueError: no",
        failure=FAILURE,
        history=(ActivityCompleted(1, '"x"'), ExecutionFailed(FAILURE)),
        tags={"a": "b"},
    )
    shown = status.to_dict()
    assert set(shown) == set(dr.OrchestrationStatus.__struct_fields__)
    assert (shown["created_time"], shown["completed_time"]) == ("2030-01-02T03:04:05.678901Z", None)
    assert (shown["runtime_status"], shown["input"], shown["tags"]) == ("Failed", {"n": 1}, {"a": "b"})
    assert shown["failure"]["message"] == "no"
    assert shown["history"][0] == {"type": "ActivityCompleted", "task_id": 1, "result": '"x"'}
    assert shown["history"][1]["failure"]["error_type"] == "builtins.ValueError"
    assert json.loads(status.to_json()) == shown


def test_what_json_lacks_is_text() -> None:
    class Thing:
        def __str__(self) -> str:
            return "a thing"

    value = {1: Decimal("1.50"), "at": AT, "set": {3}, "inf": math.inf, "thing": Thing(), "bytes": b"\xff"}
    status = dr.OrchestrationStatus("n", "i", RuntimeStatus.RUNNING, AT, AT, input=value)
    shown = json.loads(status.to_json(), parse_constant=lambda text: 1 / 0)["input"]
    assert (shown["1"], shown["set"], shown["inf"], shown["thing"]) == ("1.50", [3], "Infinity", "a thing")
    halved = dr.OrchestrationStatus("n", "i", RuntimeStatus.RUNNING, AT, AT, input="\ud800", output=b"\xff")
    assert (halved.to_dict()["input"], halved.to_dict()["output"]) == ("\ud800", "_w==")
