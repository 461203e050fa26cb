"""Commands: what orchestrator code schedules, one frozen value each, numbered as the events that will record them."""

from __future__ import annotations

from msgspec import Struct

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.history.events import Payload
from durable_ray.orchestrations.values.failures import FailureDetails


class ScheduleActivity(Struct, frozen=True):
    """Run an activity. `retry` None: the policy of the activity's definition applies."""

    task_id: int
    name: str
    input: Payload | None = None
    retry: RetryPolicy | None = None


class CancelActivity(Struct, frozen=True):
    """The result of this activity is no longer wanted."""

    task_id: int


class ScheduleChild(Struct, frozen=True):
    """Run a sub-orchestration; `instance_id` None means: derive one. `detached`: do not wait for it."""

    task_id: int
    name: str
    input: Payload | None = None
    instance_id: str | None = None
    version: str | None = None
    retry: RetryPolicy | None = None
    detached: bool = False


class CreateTimer(Struct, frozen=True):
    """Create a durable timer that fires at `fire_at` (µs)."""

    task_id: int
    fire_at: int


class CancelTimer(Struct, frozen=True):
    """That timer is no longer wanted."""

    task_id: int


class SendEvent(Struct, frozen=True):
    """Send an event to another instance, exactly once."""

    task_id: int
    instance_id: str
    name: str
    payload: Payload | None = None


Command = ScheduleActivity | CancelActivity | ScheduleChild | CreateTimer | CancelTimer | SendEvent


class Returned(Struct, frozen=True):
    """The orchestrator is done."""

    result: Payload | None


class Raised(Struct, frozen=True):
    """The orchestrator failed. `task_ids`: the tasks whose failures it did not handle (what a rewind runs again)."""

    failure: FailureDetails
    task_ids: tuple[int, ...] = ()


class Continued(Struct, frozen=True):
    """The orchestrator wants to begin anew with `input`, taking along the events it has not consumed."""

    input: Payload | None
    events: tuple[tuple[str, Payload | None, str], ...] = ()
    save_events: bool = True


Outcome = Returned | Raised | Continued


class AwaitedEvent(Struct, frozen=True, array_like=True):
    """An external event that code waits for: since when (µs), and the number of the timer that ends the wait."""

    name: str
    since: int
    timer: int | None = None


class Decision(Struct, frozen=True):
    """The answer of a turn: what is wanted now, in order; and how the execution ended, if it did.

    `custom_status` is the JSON last set, or None if it was never set in this execution.
    """

    commands: tuple[Command, ...] = ()
    outcome: Outcome | None = None
    custom_status: Payload | None = None
    #: The external events that the code waits for now, the first of them. History does not have them: waiting changes nothing.
    awaited: tuple[AwaitedEvent, ...] = ()
