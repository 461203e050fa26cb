"""Running one attempt of an activity in this process: load, call, make the result event."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field

from durable_ray.actors.activities import sigterm
from durable_ray.actors.activities.activity_loop import finish
from durable_ray.actors.activities.ports import ActivityResult, Invocation
from durable_ray.actors.clock import Clock, SystemClock
from durable_ray.actors.code.packing import PYTHON_PAYLOADS, unpack
from durable_ray.actors.code.recent import Recent
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.authoring.definitions import Activity
from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed
from durable_ray.orchestrations.values.failures import FailureDetails

#: Results of these types are what they are; anything else may have to be awaited.
_PLAIN = frozenset((type(None), bool, int, float, str, bytes, dict, list, tuple))


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


#: Definitions that this process has loaded, by code.
_opened: Recent[tuple[str, str], Activity[..., object]] = Recent(500)


def open_activity(row: DefinitionRow) -> Activity[..., object]:
    """Load an activity's code, once per process. Raises DefinitionCannotLoad."""
    key = (row.name, row.code_id)
    found = _opened.get(key)
    if found is None:
        loaded = unpack(row)
        assert isinstance(loaded, Activity)
        found = _opened[key] = loaded
    return found


def run_activity(
    row: DefinitionRow,
    invocation: Invocation,
    hub: str = "",
    stop: Stop | None = None,
    clock: Clock | None = None,
) -> ActivityResult:
    """Run one attempt here and now. Blocks. Whatever goes wrong is in the answer.

    Raises ProcessEnds, and nothing else: this process got SIGTERM, so that what user code raises does not count.
    """
    if sigterm.terminating():
        raise sigterm.ProcessEnds
    address = invocation.address
    began = (clock or SystemClock()).now()
    try:
        definition = open_activity(row)
        shape = definition.shape
        context = _context(invocation, hub, stop or Stop()) if shape.takes_context else None
        value = PYTHON_PAYLOADS.decode(invocation.input, definition.input_hint)
        result = definition(*shape.arguments(context, value))
        if type(result) not in _PLAIN and inspect.isawaitable(result):
            result = finish(result)
        payload = None if result is None else PYTHON_PAYLOADS.encode(result)
        return ActivityCompleted(address.task_id, payload, address.attempt, began)
    except BaseException as error:  # a SystemExit of user code is a failed attempt, not the end of the worker
        if sigterm.terminating():
            raise sigterm.ProcessEnds from error
        return ActivityFailed(address.task_id, FailureDetails.of(error), address.attempt, began)


def _context(invocation: Invocation, hub: str, stop: Stop) -> ActivityContext:
    at = invocation.address
    return ActivityContext(at.instance_id, at.execution_id, at.task_id, at.attempt, invocation.name, hub, stop)


def failed(invocation: Invocation, kind: str, message: str, *, non_retryable: bool = False) -> ActivityFailed:
    """An attempt that failed without having run to its end."""
    details = FailureDetails(kind, message, bases=(kind,), non_retryable=non_retryable)
    return ActivityFailed(invocation.address.task_id, details, invocation.address.attempt)
