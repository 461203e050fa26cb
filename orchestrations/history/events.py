"""The facts of which a history is made: one frozen value each, nothing that could be computed from the others.

Rules for this file:
- An event records what *happened*; what user code *schedules* is a command (`commands.py`).
- Times are microseconds since the epoch, UTC. An event has none of its own where its turn's `TurnStarted` has it.
- Fields are only ever added, with a default; a field's meaning never changes (`codec.py` reads every older history).
- `task_id` numbers what an execution asked for, in the order it asked; it is how a completion finds its task.
"""

from __future__ import annotations

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.values import Value

Payload = str


class Fact(Value, frozen=True, tag_field="t", omit_defaults=True):
    """Base of the events: how `codec.py` writes each of them. "t" is the name of its class."""


class ParentAddress(Value, frozen=True):
    """Who waits for this execution: the full address of a completion."""

    instance_id: str
    execution_id: str
    task_id: int


# --- the life of an execution ---------------------------------------------------------------------


class ExecutionStarted(Fact, frozen=True):
    """The first event of every execution."""

    name: str
    execution_id: str
    input: Payload | None = None
    version: str = ""
    code_id: str = ""
    parent: ParentAddress | None = None
    #: How many continue-as-new came before this execution.
    generation: int = 0


class TurnStarted(Fact, frozen=True):
    """A turn began: the orchestrator's clock stands at `at` until the next one."""

    at: int


class ExecutionCompleted(Fact, frozen=True):
    """The orchestrator returned."""

    result: Payload | None = None


class ExecutionFailed(Fact, frozen=True):
    """The orchestrator raised, or the runtime quarantined the instance."""

    failure: FailureDetails
    #: The tasks whose failures the orchestrator did not handle: what a rewind runs again.
    task_ids: tuple[int, ...] = ()


class ExecutionTerminated(Fact, frozen=True):
    """Somebody ended the instance; `reason` becomes its output."""

    reason: Payload | None = None


class ContinuedAsNew(Fact, frozen=True):
    """The execution ended and the next one took its place."""

    input: Payload | None = None


class ExecutionSuspended(Fact, frozen=True):
    """From here on events are kept but no turn runs."""

    reason: str | None = None


class ExecutionResumed(Fact, frozen=True):
    """Turns run again; what arrived meanwhile is delivered now, in the order it arrived."""

    reason: str | None = None


class ExecutionRewound(Fact, frozen=True):
    """The failures of the tasks `task_ids` are void; they run again. What was rewound stays in history, visibly.

    With a `code_identity`, the orchestrator goes on with that code (of that version): the history before replays on it too.
    """

    reason: str | None = None
    task_ids: tuple[int, ...] = ()
    version: str = ""
    code_id: str = ""


# --- activities -----------------------------------------------------------------------------------


class ActivityScheduled(Fact, frozen=True):
    """The orchestrator called an activity; `code_identity` is the definition it was resolved to at that moment."""

    task_id: int
    name: str
    input: Payload | None = None
    retry: RetryPolicy | None = None
    code_id: str = ""


class ActivityCompleted(Fact, frozen=True):
    """`attempt` returned `result`; `began` is when its worker started it (µs, 0 if not known)."""

    task_id: int
    result: Payload | None = None
    attempt: int = 1
    began: int = 0


class ActivityFailed(Fact, frozen=True):
    """The last attempt failed; the orchestrator sees `failure`."""

    task_id: int
    failure: FailureDetails
    attempt: int = 1
    began: int = 0


class ActivityCanceled(Fact, frozen=True):
    """The orchestrator gave up on a running activity (its awaiting task was cancelled)."""

    task_id: int


class AttemptFailed(Fact, frozen=True):
    """An attempt (activity or sub-orchestration) failed and another begins at `retry_at`; the orchestrator sees nothing."""

    task_id: int
    attempt: int
    failure: FailureDetails
    retry_at: int


class AttemptStarted(Fact, frozen=True):
    """Attempt number `attempt` of the task began."""

    task_id: int
    attempt: int
    code_id: str = ""


# --- sub-orchestrations ---------------------------------------------------------------------------


class ChildScheduled(Fact, frozen=True):
    """The orchestrator called a sub-orchestration. A detached one (fire and forget) never reports back."""

    task_id: int
    name: str
    instance_id: str
    input: Payload | None = None
    version: str | None = None
    retry: RetryPolicy | None = None
    detached: bool = False


class ChildCompleted(Fact, frozen=True):
    """The sub-orchestration returned."""

    task_id: int
    result: Payload | None = None
    instance_id: str = ""


class ChildFailed(Fact, frozen=True):
    """The sub-orchestration failed, was terminated, or its ID was taken."""

    task_id: int
    failure: FailureDetails
    instance_id: str = ""


# --- timers and events ----------------------------------------------------------------------------


class TimerCreated(Fact, frozen=True):
    """A durable timer was armed."""

    task_id: int
    fire_at: int


class TimerFired(Fact, frozen=True):
    """A durable timer came due."""

    task_id: int


class TimerCanceled(Fact, frozen=True):
    """A durable timer is no longer wanted."""

    task_id: int


class EventRaised(Fact, frozen=True):
    """An external event arrived. `name` keeps its spelling; matching ignores case."""

    name: str
    payload: Payload | None = None
    message_id: str = ""
    #: True where the sender asked for the old rule: gone unless somebody waits for it at this moment.
    discard: bool = False


class EventSent(Fact, frozen=True):
    """The orchestrator sent an event to another instance."""

    task_id: int
    instance_id: str
    name: str
    payload: Payload | None = None


class TerminateRequested(Fact, frozen=True):
    """Somebody asked for the end. Never stored in a history: it becomes `ExecutionTerminated` (or is too late)."""

    reason: Payload | None = None
    recursive: bool = False
    cancel_activities: bool = False


Event = (
    ExecutionStarted
    | TurnStarted
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionTerminated
    | ContinuedAsNew
    | ExecutionSuspended
    | ExecutionResumed
    | ExecutionRewound
    | ActivityScheduled
    | ActivityCompleted
    | ActivityFailed
    | ActivityCanceled
    | AttemptFailed
    | AttemptStarted
    | ChildScheduled
    | ChildCompleted
    | ChildFailed
    | TimerCreated
    | TimerFired
    | TimerCanceled
    | EventRaised
    | EventSent
    | TerminateRequested
)


class Message(Value, frozen=True):
    """An event that is delivered to an instance.

    `execution_id` and `attempt` complete the address where the event answers something an execution asked for; a message
    for another execution or attempt is dropped. `message_id` makes taking it twice impossible.
    """

    message_id: str
    event: Event
    execution_id: str | None = None
