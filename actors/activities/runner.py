"""Running one attempt of an activity in this process: load, call, make the result event."""

from __future__ import annotations

import inspect

from durable_ray.actors.activities import sigterm
from durable_ray.actors.activities.activity_loop import finish
from durable_ray.actors.activities.ports import ActivityResult, Invocation
from durable_ray.actors.clock import Clock, SystemClock
from durable_ray.actors.code.packing import PYTHON_PAYLOADS, unpack
from durable_ray.actors.code.recent import Recent
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.authoring.activity_context import ActivityContext, Stop
from durable_ray.orchestrations.authoring.arguments import call_arguments
from durable_ray.orchestrations.authoring.definitions import Activity
from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed
from durable_ray.orchestrations.values.failures import FailureDetails

#: Results of these types are what they are; anything else may have to be awaited.
_PLAIN = frozenset((type(None), bool, int, float, str, bytes, dict, list, tuple))


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
        context = _context(invocation, hub, stop or Stop()) if definition.shape.takes_context else None
        args, kwargs = call_arguments(definition, context, invocation.input, PYTHON_PAYLOADS)
        result = (definition.fn or definition)(*args, **kwargs)  # a definition without its function says so
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
