"""The facts of which a history is made: one frozen dataclass each, nothing that could be computed from the others.

Rules for this file:
- An event says what *happened*; what user code *wants* is a command (`commands.py`).
- Times are microseconds since the epoch, UTC. An event has none of its own where its turn's `TurnStarted` says it.
- Fields are only ever added, with a default; a field's meaning never changes (`codec.py` reads every older history).
- `task_id` numbers what an execution asked for, in the order it asked; it is how a completion finds its task.
"""

from __future__ import annotations

from dataclasses import dataclass

from durable_ray.orchestrations.failures import FailureDetails
from durable_ray.orchestrations.retries import RetryPolicy
from durable_ray.orchestrations.travelling import travels

Payload = str


@dataclass(frozen=True, slots=True)
class ParentAddress:
    """Who waits for this execution: the full address of a completion."""

    instance_id: str
    execution_id: str
    task_id: int


# --- the life of an execution ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """The first event of every execution."""

    name: str
    execution_id: str
    input: Payload | None = None
    version: str = ""
    code_id: str = ""
    parent: ParentAddress | None = None
    #: How many continue-as-new came before this execution.
    generation: int = 0


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn began: the orchestrator's clock stands at `at` until the next one."""

    at: int


@dataclass(frozen=True, slots=True)
class ExecutionCompleted:
    """The orchestrator returned."""

    result: Payload | None = None


@dataclass(frozen=True, slots=True)
class ExecutionFailed:
    """The orchestrator raised, or the runtime set the instance aside."""

    failure: FailureDetails
    #: The tasks whose failures the orchestrator did not handle: what a rewind runs again.
    task_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecutionTerminated:
    """Somebody ended the instance; `reason` becomes its output."""

    reason: Payload | None = None


@dataclass(frozen=True, slots=True)
class ContinuedAsNew:
    """The execution ended and the next one took its place."""

    input: Payload | None = None


@dataclass(frozen=True, slots=True)
class ExecutionSuspended:
    """From here on events are kept but no turn runs."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionResumed:
    """Turns run again; what arrived meanwhile is delivered now, in the order it arrived."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionRewound:
    """The failures of the tasks `task_ids` are void; they run again. What was rewound stays in history, visibly.

    With a `code_id`, the orchestrator goes on with that code (of that version): the history before replays on it too.
    """

    reason: str | None = None
    task_ids: tuple[int, ...] = ()
    version: str = ""
    code_id: str = ""


# --- activities -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ActivityScheduled:
    """The orchestrator called an activity; `code_id` is the definition it was resolved to at that moment."""

    task_id: int
    name: str
    input: Payload | None = None
    retry: RetryPolicy | None = None
    code_id: str = ""


@travels
@dataclass(frozen=True, slots=True)
class ActivityCompleted:
    """`attempt` returned `result`; `began` is when its worker started it (µs, 0 if not known)."""

    task_id: int
    result: Payload | None = None
    attempt: int = 1
    began: int = 0


@travels
@dataclass(frozen=True, slots=True)
class ActivityFailed:
    """The last attempt failed; the orchestrator sees `failure`."""

    task_id: int
    failure: FailureDetails
    attempt: int = 1
    began: int = 0


@dataclass(frozen=True, slots=True)
class ActivityCanceled:
    """The orchestrator gave up on a running activity (its awaiting task was cancelled)."""

    task_id: int


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt (activity or sub-orchestration) failed and another begins at `retry_at`; the orchestrator sees nothing."""

    task_id: int
    attempt: int
    failure: FailureDetails
    retry_at: int


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """Attempt number `attempt` of the task began."""

    task_id: int
    attempt: int
    code_id: str = ""


# --- sub-orchestrations ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildScheduled:
    """The orchestrator called a sub-orchestration. A detached one (fire and forget) never reports back."""

    task_id: int
    name: str
    instance_id: str
    input: Payload | None = None
    version: str | None = None
    retry: RetryPolicy | None = None
    detached: bool = False


@dataclass(frozen=True, slots=True)
class ChildCompleted:
    """The sub-orchestration returned."""

    task_id: int
    result: Payload | None = None
    instance_id: str = ""


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """The sub-orchestration failed, was terminated, or its ID was taken."""

    task_id: int
    failure: FailureDetails
    instance_id: str = ""


# --- timers and events ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimerCreated:
    """A durable timer was armed."""

    task_id: int
    fire_at: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A durable timer came due."""

    task_id: int


@dataclass(frozen=True, slots=True)
class TimerCanceled:
    """A durable timer is no longer wanted."""

    task_id: int


@dataclass(frozen=True, slots=True)
class EventRaised:
    """An external event arrived. `name` keeps its spelling; matching ignores case."""

    name: str
    payload: Payload | None = None
    message_id: str = ""
    #: True where the sender asked for the old rule: gone unless somebody waits for it at this moment.
    discard: bool = False


@dataclass(frozen=True, slots=True)
class EventSent:
    """The orchestrator sent an event to another instance."""

    task_id: int
    instance_id: str
    name: str
    payload: Payload | None = None


@dataclass(frozen=True, slots=True)
class TerminateRequested:
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


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way to an instance.

    `execution_id` and `attempt` complete the address where the event answers something an execution asked for; a message
    for another execution or attempt is dropped. `message_id` makes taking it twice impossible.
    """

    message_id: str
    event: Event
    execution_id: str | None = None
