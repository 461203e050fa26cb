"""The merged view of a history: what became of each thing that was asked for, as the HTTP API shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from durable_ray.actors.instances.history_view import merged_history, timestamp, without_results
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.values.azure_texts import details_of
from durable_ray.orchestrations.values.failures import FailureDetails

SECOND = 1_000_000
BEGIN = [ev.TurnStarted(0), ev.ExecutionStarted("f", "x", "1")]
FAILURE = FailureDetails("builtins.ValueError", "no")


def decode(payload: str | None) -> Any:
    return None if payload is None else json.loads(payload)


def view(*events: ev.Event, **flags: bool) -> list[dict[str, Any]]:
    """The entries after the start."""
    return merged_history([*BEGIN, *events], decode, **flags)[1:]


def test_what_was_scheduled_merges_into_what_became_of_it() -> None:
    scheduled = ev.ActivityScheduled(1, "work", '"in"')
    assert view(scheduled) == [
        {"EventType": "TaskScheduled", "FunctionName": "work", "Input": "in", "Timestamp": timestamp(0)}
    ]
    done = ev.ActivityCompleted(1, '"out"')
    assert view(scheduled, ev.TurnStarted(SECOND), done, show_output=True) == [
        {
            "EventType": "TaskCompleted",
            "FunctionName": "work",
            "Input": "in",
            "ScheduledTime": timestamp(0),
            "Result": "out",
            "Timestamp": timestamp(SECOND),
        }
    ]


@pytest.mark.parametrize(
    ("end", "kind", "more"),
    [
        (
            ev.ActivityFailed(1, FAILURE),
            "TaskFailed",
            {"Reason": "Activity function 'work' failed:  ValueError: no", "Details": details_of(FAILURE)},
        ),
        (ev.ActivityCanceled(1), "TaskCanceled", {}),
    ],
)
def test_other_ends_of_an_activity(end: ev.Event, kind: str, more: dict[str, str]) -> None:
    (entry,) = view(ev.ActivityScheduled(1, "work"), end, show_input=False)
    assert entry == {
        "EventType": kind,
        "FunctionName": "work",
        "ScheduledTime": timestamp(0),
        **more,
        "Timestamp": timestamp(0),
    }


def test_attempts_are_shown_and_the_task_completes_once() -> None:
    entries = view(
        ev.ActivityScheduled(1, "work"),
        ev.AttemptFailed(1, 1, FAILURE, SECOND),
        ev.TurnStarted(SECOND),
        ev.AttemptStarted(1, 2),
        ev.ActivityCompleted(1, "5"),
    )
    assert [entry["EventType"] for entry in entries] == ["AttemptFailed", "TaskCompleted"]
    assert (entries[0]["FunctionName"], entries[0]["RetryAt"]) == ("work", timestamp(SECOND))


def test_a_rewound_task_is_shown_with_both_its_ends() -> None:
    entries = view(
        ev.ActivityScheduled(1, "work"),
        ev.ActivityFailed(1, FAILURE),
        ev.ExecutionFailed(FAILURE, (1,)),
        ev.TurnStarted(SECOND),
        ev.ExecutionRewound("mended", (1,)),
        ev.AttemptStarted(1, 2),
        ev.ActivityCompleted(1),
    )
    assert [entry["EventType"] for entry in entries] == [
        "TaskFailed",
        "ExecutionCompleted",
        "ExecutionRewound",
        "TaskCompleted",
    ]


@pytest.mark.parametrize(
    ("event", "entry"),
    [
        (ev.ExecutionSuspended("why"), {"EventType": "ExecutionSuspended", "Reason": "why"}),
        (ev.ExecutionResumed(), {"EventType": "ExecutionResumed", "Reason": None}),
        (
            ev.EventSent(1, "other", "go", "2"),
            {"EventType": "EventSent", "Name": "go", "InstanceId": "other", "Input": 2},
        ),
        (ev.ContinuedAsNew("3"), {"EventType": "ContinueAsNew", "Input": 3}),
        (ev.ExecutionTerminated('"r"'), {"EventType": "ExecutionCompleted", "OrchestrationStatus": "Terminated"}),
        (ev.ExecutionFailed(FAILURE), {"EventType": "ExecutionCompleted", "OrchestrationStatus": "Failed"}),
    ],
)
def test_everything_else(event: ev.Event, entry: dict[str, Any]) -> None:
    assert view(event) == [{**entry, "Timestamp": timestamp(0)}]


def test_results_can_be_taken_out_of_events() -> None:
    assert without_results(ev.ActivityCompleted(1, "5", began=3)) == ev.ActivityCompleted(1, None, began=3)
    assert without_results(ev.EventRaised("go", "5")) == ev.EventRaised("go", "5")
