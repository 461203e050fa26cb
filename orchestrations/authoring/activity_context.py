"""What an activity is told about itself, if it declares a first parameter of this type.

In this room and not beside the code that runs activities, so that the types of calls can leave it out: no caller gives it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class Stop:
    """The cancellation flag of one attempt: raised when its result is unwanted. It can be read, not awaited."""

    __slots__ = ("raised",)

    def __init__(self) -> None:
        self.raised = False


@dataclass(frozen=True)
class ActivityContext:
    """What an activity may ask about itself: declare a first parameter of this type to get it.

    Attributes:
        instance_id: the orchestration instance that called it.
        execution_id: which life of that instance.
        task_id: its number within the execution; with `instance_id` and `execution_id` an idempotency key that is the
            same for every attempt.
        attempt: 1 for the first.
        name: the activity's name.
        hub: the task hub.

    Example:
        >>> def charge(context: ActivityContext, order: str) -> str:
        ...     key = f"{context.instance_id}/{context.execution_id}/{context.task_id}"
        ...     return f"charged {order} once under {key}"
    """

    instance_id: str
    execution_id: str
    task_id: int
    attempt: int
    name: str
    hub: str = ""
    _stop: Stop = field(default_factory=Stop, repr=False, compare=False)

    @property
    def cancel_requested(self) -> bool:
        """Whether nobody waits for the result any more (timeout, cancellation): a long activity looks and returns."""
        return self._stop.raised
