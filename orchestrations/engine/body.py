"""The body of an execution: how a function becomes the main task, how that ends, how it is put away."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, NamedTuple

from durable_ray.orchestrations.authoring.arguments import Called, call_arguments
from durable_ray.orchestrations.authoring.context import OrchestrationContext
from durable_ray.orchestrations.authoring.definitions import Definition
from durable_ray.orchestrations.authoring.generators import GeneratorContext, drive
from durable_ray.orchestrations.authoring.signatures import (
    Parameter,
    Shape,
    orchestrator_shape,
    read_hints,
    read_parameter_hints,
    several_parameters,
)
from durable_ray.orchestrations.engine.commands import Outcome, Raised, Returned
from durable_ray.orchestrations.engine.tasks import failed_task_ids
from durable_ray.orchestrations.engine.work import PayloadCodec, Work
from durable_ray.orchestrations.values.failures import Evicted, FailureDetails, NotDeterministic
from durable_ray.orchestrations.values.payloads import PayloadNotSerializable
from durable_ray.orchestrations.values.unawaited import unawaited

_LOG = logging.getLogger(__name__)

#: How often code that catches `BaseException` in a loop is sent `Evicted` before it is dropped where it
#: stands.
_MAX_EVICTIONS = 100


async def main(orchestrator: Any, work: Work) -> Any:
    """The coroutine of the main task: read the input, call the function, run what it returned."""
    fn, called = _anatomy(orchestrator)
    own: type[OrchestrationContext] | None = getattr(fn, "durable_ray_context", None)
    generates = inspect.isgeneratorfunction(inspect.unwrap(fn))
    context = (own or (GeneratorContext if generates else OrchestrationContext))(work, called.input_hint)
    assert work.started is not None
    args, kwargs = call_arguments(called, context, work.started.input, work.codec)
    result = fn(*args, **kwargs)
    del args, kwargs
    if isinstance(result, Generator):
        if not isinstance(context, GeneratorContext):
            # A decorator hid that it is one. Its code has not begun, so it has seen no other kind of task yet.
            context.__class__ = GeneratorContext
        return await drive(result)
    return await result if inspect.isawaitable(result) else result


class _Plain(NamedTuple):
    """What has to be known of a function that is no definition."""

    title: str
    shape: Shape
    parameters: tuple[Parameter, ...]
    input_hint: Any
    parameter_hints: Mapping[str, Any]


def _anatomy(orchestrator: Any) -> tuple[Callable[..., Any], Called]:
    """The function, and how to call it."""
    fn = getattr(orchestrator, "fn", orchestrator)
    if not callable(fn):
        raise TypeError(f"{orchestrator!r} has no code to run: pass a function or a definition with one")
    if isinstance(orchestrator, Definition):
        return fn, orchestrator
    shape = orchestrator_shape(fn)
    several = several_parameters(fn, shape)
    title = f"orchestrator {getattr(fn, '__name__', fn)!r}"
    return fn, _Plain(title, shape, several, read_hints(fn, shape).input, read_parameter_hints(fn, several))


def _explained(error: BaseException) -> BaseException:
    """asyncio's error about a foreign future, with a text that says what to do."""
    if isinstance(error, RuntimeError) and "attached to a different loop" in str(error):
        explained = NotDeterministic(
            "an orchestrator awaited a future of another event loop: its result is in no history. Await it "
            "in an activity, and call that activity"
        )
        explained.__cause__ = error
        return explained
    return error


def outcome_of(code: asyncio.Future[Any], codec: PayloadCodec) -> Outcome:
    """How the finished main task ended."""
    if code.cancelled():
        return Raised(FailureDetails.of(asyncio.CancelledError("the orchestrator awaited a task that was cancelled")))
    error: BaseException | None = code.exception()
    if error is None:
        value = code.result()
        try:
            if (forgotten := unawaited(value)) is not None:
                raise PayloadNotSerializable(f"the orchestrator returned what is no result: {forgotten}")
            return Returned(None if value is None else codec.encode(value))
        except BaseException as unsayable:  # how a value is written may be user code
            error = unsayable
    error = _explained(error)
    return Raised(FailureDetails.of(error), failed_task_ids(error))


def evict(task: asyncio.Task[Any], instance_id: str) -> None:
    """Evict a waiting task: every await that it reaches raises `Evicted`."""
    # asyncio would log a task that is dropped while it waits; this one was put away on purpose.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    assert isinstance(coroutine, Coroutine)
    for _ in range(_MAX_EVICTIONS):
        try:
            coroutine.throw(Evicted("this execution is being put away"))
        except BaseException:
            return
    _LOG.warning(
        "the orchestrator of instance %s catches BaseException and goes on waiting; it was dropped where it "
        "stood. Catch Exception instead",
        instance_id,
    )
