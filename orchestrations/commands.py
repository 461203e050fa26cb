"""What orchestrator code wants: one frozen dataclass per wish. Numbered like the events that will record them."""

from __future__ import annotations

from dataclasses import dataclass

from durable_ray.orchestrations.events import Payload
from durable_ray.orchestrations.failures import FailureDetails
from durable_ray.orchestrations.retries import RetryPolicy


@dataclass(frozen=True, slots=True)
class ScheduleActivity:
    """Run an activity. `retry` None means: whatever the activity's own definition says."""

    task_id: int
    name: str
    input: Payload | None = None
    retry: RetryPolicy | None = None


@dataclass(frozen=True, slots=True)
class CancelActivity:
    """The result of this activity is no longer wanted."""

    task_id: int


@dataclass(frozen=True, slots=True)
class ScheduleChild:
    """Run a sub-orchestration; `instance_id` None means: derive one. `detached`: do not wait for it."""

    task_id: int
    name: str
    input: Payload | None = None
    instance_id: str | None = None
    version: str | None = None
    retry: RetryPolicy | None = None
    detached: bool = False


@dataclass(frozen=True, slots=True)
class CreateTimer:
    """Wake me at `fire_at` (µs)."""

    task_id: int
    fire_at: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """That timer is no longer wanted."""

    task_id: int


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Send an event to another instance, exactly once."""

    task_id: int
    instance_id: str
    name: str
    payload: Payload | None = None


Command = ScheduleActivity | CancelActivity | ScheduleChild | CreateTimer | CancelTimer | SendEvent


@dataclass(frozen=True, slots=True)
class Returned:
    """The orchestrator is done."""

    result: Payload | None


@dataclass(frozen=True, slots=True)
class Raised:
    """The orchestrator failed. `task_ids`: the tasks whose failures it did not handle (what a rewind runs again)."""

    failure: FailureDetails
    task_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Continued:
    """The orchestrator wants to begin anew with `input`, taking along the events it has not consumed."""

    input: Payload | None
    events: tuple[tuple[str, Payload | None, str], ...] = ()
    save_events: bool = True


Outcome = Returned | Raised | Continued


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of a turn: what is wanted now, in order; and how the execution ended, if it did.

    `custom_status` is the JSON last set, or None if it was never set in this execution.
    """

    commands: tuple[Command, ...] = ()
    outcome: Outcome | None = None
    custom_status: Payload | None = None
