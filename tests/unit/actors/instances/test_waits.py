"""What an instance waits for, by what is stored: activities that lack a permit or a resource, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from durable_ray.actors.instances.waits import UnmetDemand, WaitFacts, explained, waits_of
from durable_ray.actors.store.records import InstanceRow, Loaded, Permit
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_events
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.values.failures import FailureDetails

NAMES = ["train", "train", "train", "send"]


def facts(*more: Event, awaited: str | None = None, **known: Any) -> WaitFacts:
    """An instance with four activities under way."""
    events: list[Event] = [ev.TurnStarted(1_000_000), ev.ExecutionStarted("o", "e")]
    events += [ev.ActivityScheduled(number, name) for number, name in enumerate(NAMES, 1)]
    events += more
    row = InstanceRow("i", "e", "o", "h", "shared", 0, status="Running", turn=1, events=len(events), awaited=awaited)
    return WaitFacts(Loaded(row, (encode_events(events),), (), (0,)), **known)


def kinds(found: WaitFacts) -> list[str]:
    return [wait.kind for wait in waits_of(found)]


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        (None, ["resource"] * 3),
        (2, ["activity", "resource", "resource"]),
        (7, ["resource"] * 3),
    ],
)
def test_the_last_attempts_are_those_that_lack_a_resource(attempts: int | None, expected: list[str]) -> None:
    found = facts(unmet={"train": UnmetDemand("no GPU", attempts)})
    assert kinds(found) == [*expected, "activity"]
    assert "and waits for " in explained(found)
    assert "a resource for activity 'train', no GPU" in explained(found)


def test_an_attempt_that_is_due_later_lacks_nothing_now() -> None:
    later = ev.AttemptFailed(2, 1, FailureDetails("builtins.OSError", "away"), 9_000_000)
    found = facts(later, unmet={"train": UnmetDemand("no GPU")})
    assert kinds(found) == ["resource", "activity", "resource", "activity"]
    assert str(waits_of(found)[1]) == ("activity 'train', attempt 2 after OSError: away, due 1970-01-01 00:00:09Z")


def test_permits_that_are_not_granted() -> None:
    permits = tuple((Permit("train", "h", "i", "e", number, 1), number == 1) for number in (1, 2))
    found = facts(permits=permits, limits={"train": 1})
    assert kinds(found) == ["activity", "permit", "activity", "activity"]
    assert str(waits_of(found)[1]) == "a permit for activity 'train', max_running is 1, since 1970-01-01 00:00:01Z"


def test_what_cannot_be_read_is_told_and_breaks_no_status() -> None:
    assert kinds(facts(awaited="nonsense")) == ["activity"] * 4
    found = facts()
    damaged = WaitFacts(replace(found.loaded, history=("nonsense",)))
    (wait,) = waits_of(damaged)
    assert wait.kind == "store"
    assert "cannot be read" in str(wait)


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ({"waiting_reason": "code: no module named 'x'"}, "code", "code: no module named 'x'"),
        ({"waiting_reason": "host: full"}, "host", "host: full"),
        ({"queued": True}, "place", "its turn: 'max_running' of 'o' instances run"),
    ],
)
def test_why_it_makes_no_progress_comes_first(row: dict[str, Any], kind: str, said: str) -> None:
    new = InstanceRow("i", "e", "o", "h", "shared", 0, status="Pending", turn=0)
    (wait,) = waits_of(WaitFacts(Loaded(replace(new, **row), (), ())))
    assert (wait.kind, str(wait)) == (kind, f"{said}, since 1970-01-01 00:00:00Z")
    assert f"it is Pending and waits for {said}" in explained(WaitFacts(Loaded(replace(new, **row), (), ())))


def test_one_that_has_ended_waits_for_nothing() -> None:
    found = facts()
    ended = WaitFacts(replace(found.loaded, row=replace(found.loaded.row, status="Completed")))
    assert (waits_of(ended), explained(ended)) == ((), "it is Completed")
