"""The text of histories: pinned byte by byte, and readable in both directions of time.

Held here: the golden file has one example of every event, in full and at its barest; unknown fields are ignored;
unknown events and versions are refused with the upgrade; damage is told from both.
"""

from __future__ import annotations

import json
import math
import typing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import (
    UnreadableHistory,
    decode_event,
    decode_events,
    encode_event,
    encode_events,
)
from durable_ray.orchestrations.values.failures import FailureDetails

GOLDEN = Path(__file__).parent / "golden" / "events_v1.json"

POLICY = RetryPolicy(2, 5, 1.5, 60, 3600, [ValueError, "mine.Error"], ["mine.Fatal"])
INNER = FailureDetails("builtins.KeyError", "'x'", bases=("builtins.KeyError", "builtins.LookupError"))
FAILURE = FailureDetails("builtins.ValueError", "é\n\0", "Traceback ...", ("builtins.ValueError",), INNER, True)
PARENT = ev.ParentAddress("parent", "pe", 7)

EXAMPLES: list[ev.Event] = [
    ev.ExecutionStarted("greet", "e1"),
    ev.ExecutionStarted("greet", "e1", '{"a":1}', "2", "c0de", PARENT, 3),
    ev.TurnStarted(1_700_000_000_000_000),
    ev.ExecutionCompleted(),
    ev.ExecutionCompleted('"done"'),
    ev.ExecutionFailed(FAILURE),
    ev.ExecutionTerminated(),
    ev.ExecutionTerminated('"enough"'),
    ev.ContinuedAsNew(),
    ev.ContinuedAsNew("5"),
    ev.ExecutionSuspended(),
    ev.ExecutionSuspended("wait"),
    ev.ExecutionResumed(),
    ev.ExecutionResumed("go"),
    ev.ExecutionRewound(),
    ev.ExecutionRewound("fixed", (3, 5)),
    ev.ActivityScheduled(1, "pay"),
    ev.ActivityScheduled(1, "pay", "[1]", POLICY, "c0de"),
    ev.ActivityCompleted(1),
    ev.ActivityCompleted(1, "null", 2, 1_700_000_000_000_001),
    ev.ActivityFailed(1, INNER),
    ev.ActivityFailed(1, FAILURE, 3, 1_700_000_000_000_002),
    ev.ActivityCanceled(1),
    ev.AttemptFailed(1, 2, INNER, 1_700_000_000_000_003),
    ev.AttemptStarted(1, 3),
    ev.AttemptStarted(1, 3, "c0de"),
    ev.ChildScheduled(2, "child", "p:e:0002"),
    ev.ChildScheduled(2, "child", "mine", "{}", "1", POLICY, True),
    ev.ChildCompleted(2),
    ev.ChildCompleted(2, "[]", "mine"),
    ev.ChildFailed(2, INNER),
    ev.ChildFailed(2, INNER, "mine"),
    ev.TimerCreated(3, 1_700_000_000_000_004),
    ev.TimerFired(3),
    ev.TimerCanceled(3),
    ev.EventRaised("Go"),
    ev.EventRaised("Go", '"pickle:abc"', "m1", True),
    ev.EventSent(4, "other", "Go"),
    ev.EventSent(4, "other", "Go", "1"),
    ev.TerminateRequested(),
    ev.TerminateRequested('"why"', True, True),
]


def test_the_golden_file_has_every_kind_of_event() -> None:
    assert {type(event) for event in EXAMPLES} == set(typing.get_args(ev.Event))


def test_the_text_of_every_event_is_pinned() -> None:
    # Each line was written once and is read for ever. A new field may add lines; a line that changes is a mistake.
    assert [encode_event(event) for event in EXAMPLES] == GOLDEN.read_text("utf-8").splitlines()


def test_what_was_pinned_is_read_back() -> None:
    assert [decode_event(line) for line in GOLDEN.read_text("utf-8").splitlines()] == EXAMPLES


def test_a_turn_is_one_document() -> None:
    text = encode_events(EXAMPLES)
    assert decode_events(text) == decode_events(text.encode()) == EXAMPLES
    assert json.loads(text)["v"] == 1
    assert decode_events(encode_events([])) == []


@given(st.text(st.characters()), st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_survives(name: str, message: str) -> None:
    event = ev.ActivityFailed(1, FailureDetails(name, message))
    assert decode_event(encode_event(event)) == event


def test_a_newer_releases_fields_are_ignored_everywhere() -> None:
    text = encode_event(ev.ChildScheduled(1, "c", "x", retry=POLICY))
    newer = json.loads(text)
    newer["priority"] = 5
    newer["retry"]["jitter"] = 0.5
    assert decode_event(json.dumps(newer)) == ev.ChildScheduled(1, "c", "x", retry=POLICY)


def test_an_older_policy_has_the_defaults_of_what_it_does_not_say() -> None:
    older = '{"v":1,"t":"ActivityScheduled","task_id":1,"name":"a","retry":{"max_number_of_attempts":9}}'
    scheduled = decode_event(older)
    assert isinstance(scheduled, ev.ActivityScheduled)
    assert scheduled.retry == RetryPolicy(max_number_of_attempts=9)


@pytest.mark.parametrize(
    "event",
    [
        ev.ActivityScheduled(1, "a", retry=RetryPolicy(backoff_coefficient=math.inf)),
        ev.ActivityScheduled(1, "a", retry=RetryPolicy(timedelta.max, retry_timeout=timedelta.max)),
        ev.ActivityFailed(1, FailureDetails("E", "\ud800", cause=FAILURE)),
        ev.ExecutionStarted("\ud800", "e1", parent=PARENT),
        ev.ExecutionRewound("\ud800", (3, 5)),
        ev.ExecutionSuspended(5),  # type: ignore[arg-type]
        ev.TimerCreated(1, 10**30),
    ],
)
def test_what_msgspec_refuses_is_read_all_the_same(event: ev.Event) -> None:
    assert decode_event(encode_event(event)) == event
    assert decode_events(encode_events([event, ev.TimerFired(1)])) == [event, ev.TimerFired(1)]


def test_an_infinity_of_an_older_release_is_one() -> None:
    text = '{"v":1,"t":"ActivityScheduled","task_id":1,"name":"a","retry":{"backoff_coefficient":Infinity}}'
    assert decode_event(text) == ev.ActivityScheduled(1, "a", retry=RetryPolicy(backoff_coefficient=math.inf))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"v":2,"e":[]}', "reads up to 1: a newer release wrote it. Upgrade durable_ray"),
        ('{"v":1,"e":[{"t":"EntityCalled"}]}', "'EntityCalled', which this durable_ray does not know"),
        ('{"v":1,"e":[{"t":["x"]}]}', "does not know"),
        ('{"v":1,"e":[5]}', "does not know"),
        ('{"v":1,"e":[{"t":"TimerFired"}]}', "no TimerFired can be read"),
        ('{"v":1,"e":[{"t":"ActivityFailed","task_id":1,"failure":3}]}', "no FailureDetails can be read from 3"),
        ('{"v":1}', "without its list of events"),
        ('{"e":[]}', "without a version"),
        ("[]", "without a version"),
        ('{"v":1,"e":[', "no JSON"),
        ("", "no JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableHistory) as caught:
        decode_events(text)
    assert sentence in str(caught.value)


def test_bytes_that_are_no_text_are_damage() -> None:
    with pytest.raises(UnreadableHistory):
        decode_events(b"\xff\xfe")


def write_golden() -> Any:  # pragma: no cover - run by hand when an event or a field is added
    """Write the golden file anew; the difference to the old one may only be added lines."""
    GOLDEN.write_text("".join(encode_event(event) + "\n" for event in EXAMPLES), "utf-8")


class Stubborn(str):
    """As texts that a template library calls safe: it is its own `str`."""

    def __str__(self) -> str:
        return self


class Count(int):
    pass


@pytest.mark.parametrize("text", ["plain", "lone \ud800"])
def test_a_text_or_number_of_a_derived_class_is_written_as_what_it_is(text: str) -> None:
    said = ev.ActivityFailed(Count(3), FailureDetails("ValueError", Stubborn(text)))
    (read,) = decode_events(encode_events([said]))
    assert isinstance(read, ev.ActivityFailed)
    assert (read.task_id, read.failure.message) == (3, text)
    assert (type(read.task_id), type(read.failure.message)) == (int, str)


@pytest.mark.parametrize(
    "event",
    [
        '{"t":"TimerFired","task_id":"two"}',
        '{"t":"TimerFired","task_id":null}',
        '{"t":"TurnStarted","at":"soon"}',
        '{"t":"EventRaised","name":["a"],"data":"1"}',
    ],
)
def test_a_field_of_another_type_is_damage(event: str) -> None:
    with pytest.raises(UnreadableHistory, match="damaged"):
        decode_events(f'{{"v":1,"e":[{event}]}}')
    with pytest.raises(UnreadableHistory, match="damaged"):
        decode_event(f'{{"v":1,{event[1:]}')
