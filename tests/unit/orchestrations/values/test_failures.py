"""One walk over a failure: whatever led to it is found alike by name, by retries and by whoever reads it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_event, encode_event
from durable_ray.orchestrations.values.failures import (
    MAX_REASONS,
    ActivityFailed,
    FailureDetails,
    NonRetryable,
    SubOrchestrationFailed,
)


class Outage(ConnectionError):
    """One of ours."""


def activity(error: BaseException, number: int = 1) -> ActivityFailed:
    details = FailureDetails.of(error)
    return ActivityFailed(f"Activity 'a' (#{number}) failed: {details}", details, number)


def child(error: BaseException) -> SubOrchestrationFailed:
    details = FailureDetails.of(error)
    return SubOrchestrationFailed(f"Sub-orchestration 'c' (#1) failed: {details}", details, 1)


def while_handling(handled: BaseException, error: BaseException, *, hidden: bool = False) -> BaseException:
    try:
        try:
            raise handled
        except BaseException:
            if hidden:
                raise error from None
            raise error  # noqa: B904 - the context is what this is about
    except BaseException as caught:
        return caught


def in_a_task_group(*errors: BaseException) -> BaseException:
    async def fail(error: BaseException) -> None:
        raise error

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            for error in errors:
                tasks.create_task(fail(error))

    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(group())
    return caught.value


OUTAGES = {
    "itself": Outage("down"),
    "a cause": while_handling(Outage("down"), ValueError("no")),
    "a member": ExceptionGroup("g", [KeyError("k"), Outage("down")]),
    "a member of a member": ExceptionGroup("g", [KeyError("k"), ExceptionGroup("h", [Outage("down")])]),
    "a TaskGroup": in_a_task_group(Outage("down")),
    "an activity": activity(Outage("down")),
    "a child": child(activity(Outage("down"))),
    "a child's child": child(child(activity(Outage("down")))),
    "a child's TaskGroup": child(in_a_task_group(activity(Outage("down")), activity(KeyError("k"), 2))),
    "handled when a task failed": while_handling(activity(Outage("down")), activity(KeyError("k"), 2)),
    "a cause of a member": ExceptionGroup("g", [while_handling(Outage("down"), ValueError("no"))]),
}


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("name", [Outage, ConnectionError, "Outage", "builtins.ConnectionError", "OSError"])
def test_whatever_led_to_a_failure_is_found(error: BaseException, name: Any) -> None:
    assert FailureDetails.of(error).is_caused_by(name)
    again = decode_event(encode_event(ev.ExecutionFailed(FailureDetails.of(error))))
    assert isinstance(again, ev.ExecutionFailed)
    assert again.failure.is_caused_by(name)
    assert not again.failure.is_caused_by(PermissionError)


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES)
def test_retries_see_what_is_caused_by_sees(error: BaseException) -> None:
    failure = FailureDetails.of(error)
    for filters, again in [
        ({"retry_on": [ConnectionError]}, True),
        ({"retry_on": ["Outage"]}, True),
        ({"retry_on": [PermissionError]}, False),
        ({"do_not_retry_on": [ConnectionError]}, False),
        ({"do_not_retry_on": [PermissionError]}, True),
        ({"retry_on": [OSError], "do_not_retry_on": ["Outage"]}, False),
    ]:
        policy = RetryPolicy(1, 3, **filters)  # type: ignore[arg-type]
        assert (policy.next_attempt_at(1, 0, failure, 0) is not None) is again, filters


@pytest.mark.parametrize("error", [child(activity(NonRetryable("no"))), ExceptionGroup("g", [NonRetryable("no")])])
def test_what_is_of_no_use_below_is_of_no_use_above(error: BaseException) -> None:
    assert RetryPolicy().next_attempt_at(1, 0, FailureDetails.of(error), 0) is None


def test_a_group_says_what_its_members_say() -> None:
    failure = FailureDetails.of(in_a_task_group(activity(Outage("down")), activity(KeyError("k"), 2)))
    text = str(failure)
    assert text.startswith("ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions): ")
    assert "Activity 'a' (#1) failed: " in text
    assert "Outage: down" in text
    assert "Activity 'a' (#2) failed: KeyError: 'k'" in text
    assert [member.error_type.rpartition(".")[2] for member in failure.members] == ["ActivityFailed"] * 2


def test_what_from_none_hides_is_hidden() -> None:
    error = while_handling(Outage("down"), ValueError("no"), hidden=True)
    assert not FailureDetails.of(error).is_caused_by(Outage)


def test_the_causes_of_a_failed_task_are_those_of_its_activity_first() -> None:
    failure = FailureDetails.of(while_handling(activity(Outage("down")), activity(KeyError("k"), 2)))
    assert failure.cause is not None
    assert failure.cause.error_type == "builtins.KeyError"


def test_circles_and_crowds_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert len(list(FailureDetails.of(first).walk())) == 2
    crowd = ExceptionGroup(
        "g", [activity(ExceptionGroup("h", [ValueError(str(n)) for n in range(50)])) for _ in range(50)]
    )
    details = FailureDetails.of(crowd)
    assert len(list(details.walk())) <= MAX_REASONS
    assert len(encode_event(ev.ExecutionFailed(details))) < 1_000_000
    chain: BaseException = ValueError("0")
    for n in range(5000):
        above = ValueError(str(n))
        above.__cause__ = chain
        chain = above
    assert len(list(FailureDetails.of(chain).walk())) == MAX_REASONS


def test_a_failure_that_an_older_release_wrote_is_read() -> None:
    text = '{"v":1,"t":"ExecutionFailed","failure":{"error_type":"E","message":"no","cause":{"error_type":"F","message":"x"}}}'
    event = decode_event(text)
    assert isinstance(event, ev.ExecutionFailed)
    assert event.failure.members == ()
    assert event.failure.is_caused_by("F")


def test_members_are_read_by_the_letter_too() -> None:
    """Text that only Python's parser takes, as histories have it from of old."""
    member = '{"error_type":"F","message":"\\ud800"}'
    text = f'{{"v":1,"t":"ExecutionFailed","failure":{{"error_type":"E","message":"no","members":[{member}]}}}}'
    event = decode_event(text)
    assert isinstance(event, ev.ExecutionFailed)
    assert event.failure.is_caused_by("F")
