"""The public exceptions. Each message says what to do next."""

from __future__ import annotations

from durable_ray.orchestrations.values.failures import FailureDetails, OrchestrationError
from durable_ray.orchestrations.values.ids import quoted


class DurableRayError(Exception):
    """Base of all errors of the management API."""


class InstanceAlreadyExists(DurableRayError):
    """The ID belongs to an instance that has not finished (or, with ``reject_finished``, to any).

    Wait for it, terminate it, choose another ID, or start with ``if_exists="use_existing"`` / ``"terminate_existing"``.
    """

    def __init__(self, instance_id: str, status: str = "") -> None:
        super().__init__(f"An instance with ID {quoted(instance_id)} already exists.")
        stands = f"It is {status}. " if status else ""
        # A note, because the text is Durable Functions' own, which clients compare.
        self.add_note(
            f"{stands}Wait for it, terminate it, choose another ID, or start with if_exists='use_existing' or "
            "'terminate_existing'."
        )
        self.instance_id = instance_id
        self.status = status

    def __reduce__(self) -> tuple[type[InstanceAlreadyExists], tuple[str, str]]:
        return type(self), (self.instance_id, self.status)


class InstanceNotFound(DurableRayError, LookupError):
    """No instance has this ID in this hub (it was never started, or was purged)."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"No instance with ID {quoted(instance_id)} found.")
        self.instance_id = instance_id

    def __reduce__(self) -> tuple[type[InstanceNotFound], tuple[str]]:
        return type(self), (self.instance_id,)


class InstanceFinished(DurableRayError):
    """The instance has ended, so the request does not apply. `status` is its final status."""

    def __init__(self, instance_id: str, status: str) -> None:
        super().__init__(
            f"Instance {quoted(instance_id)} has finished ({status}); start, restart or rewind it instead."
        )
        self.instance_id = instance_id
        self.status = status

    def __reduce__(self) -> tuple[type[InstanceFinished], tuple[str, str]]:
        return type(self), (self.instance_id, self.status)


class InvalidState(DurableRayError):
    """The instance is not in a state in which this can be done; the message says which and why."""


class HistoryMismatch(InvalidState):
    """The instance's history does not replay on the code to which it was to move; nothing was changed.

    The message says whose history, at which event, and what the code asked for instead.
    """

    def __init__(self, instance_id: str, detail: str) -> None:
        super().__init__(f"instance {quoted(instance_id)} was not rewound, because a history does not replay: {detail}")
        self.instance_id = instance_id
        self.detail = detail

    def __reduce__(self) -> tuple[type[HistoryMismatch], tuple[str, str]]:
        return type(self), (self.instance_id, self.detail)


class DamagedHistory(DurableRayError):
    """What is stored of an instance cannot be read, or contradicts itself; the message says what and where, and what to do.

    `get_status` without the history still answers.
    """

    def __init__(self, instance_id: str, what: str) -> None:
        super().__init__(
            f"the history of {quoted(instance_id)} is damaged: {what}; restore the store from a backup (docs/operations.md; or "
            "upgrade, if a newer release wrote this), or terminate the instance"
        )
        self.instance_id = instance_id
        self.what = what

    def __reduce__(self) -> tuple[type[DamagedHistory], tuple[str, str]]:
        return type(self), (self.instance_id, self.what)


class UnknownDefinition(DurableRayError, LookupError):
    """No orchestrator (or activity) of this name was deployed to this hub."""


class ScheduleNotFound(DurableRayError, LookupError):
    """No schedule has this ID in this hub."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"No schedule with ID {quoted(schedule_id)} found.")
        self.schedule_id = schedule_id

    def __reduce__(self) -> tuple[type[ScheduleNotFound], tuple[str]]:
        return type(self), (self.schedule_id,)


class ScheduleAlreadyExists(DurableRayError):
    """The hub has a schedule of this ID: update or delete it, or choose another ID."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"A schedule with ID {quoted(schedule_id)} already exists; update or delete it.")
        self.schedule_id = schedule_id

    def __reduce__(self) -> tuple[type[ScheduleAlreadyExists], tuple[str]]:
        return type(self), (self.schedule_id,)


class ScheduleChanged(DurableRayError):
    """The schedule has another version than the one that was to be changed; nothing was changed. Read it again."""


class OrchestrationEnded(OrchestrationError):
    """The awaited orchestration ended without a result."""

    def __init__(self, instance_id: str, message: str) -> None:
        super().__init__(message)
        self.instance_id = instance_id


class OrchestrationFailed(OrchestrationEnded):
    """The awaited orchestration failed; `details` keeps type, message, traceback and causes."""

    def __init__(self, instance_id: str, details: FailureDetails) -> None:
        where = f"\n  {details.origin}" if details.origin else ""
        super().__init__(instance_id, f"Orchestration {quoted(instance_id)} failed: {details}{where}")
        self.details = details

    def __reduce__(self) -> tuple[type[OrchestrationFailed], tuple[str, FailureDetails]]:
        return type(self), (self.instance_id, self.details)

    def is_caused_by(self, error: type[BaseException] | str) -> bool:
        """Whether the failure, or any of its causes, is an `error` (class or name) or a subclass of it."""
        return self.details.is_caused_by(error)


class OrchestrationTerminated(OrchestrationEnded):
    """The awaited orchestration was terminated; `reason` is what was given."""

    def __init__(self, instance_id: str, reason: object = None) -> None:
        super().__init__(instance_id, f"Orchestration {quoted(instance_id)} was terminated: {reason}")
        self.reason = reason

    def __reduce__(self) -> tuple[type[OrchestrationTerminated], tuple[str, object]]:
        return type(self), (self.instance_id, self.reason)


def raise_for(instance_id: str, code: str, detail: str) -> None:
    """Raise the exception of a reply's code, if it has one."""
    if code == "absent":
        raise InstanceNotFound(instance_id)
    if code == "finished":
        raise InstanceFinished(instance_id, detail)
    if code == "mismatch":
        raise HistoryMismatch(instance_id, detail)
    if code == "unknown":
        raise UnknownDefinition(f"no orchestrator {detail} is deployed to this hub")
    if code == "refused":
        raise InvalidState(f"instance {quoted(instance_id)}: {detail}")


class HubUnavailable(DurableRayError, ConnectionError):
    """The hub could not be reached within the deadline; nothing is known to have been lost. The message names likely causes."""


class ProtocolMismatch(DurableRayError):
    """Client and hub are of releases that do not understand each other; the message names the command that helps."""
