"""Generator orchestrators: code written for Azure's Python SDK runs as it is.

There, a task's `result` is a property (``winner.result``); on an asyncio future it is a method. One object
cannot be both, so generator code is handed a thin `GeneratorTask` around the same future, and a small driver
awaits what it yields. The engine underneath knows nothing of the difference. durabletask-python's names
(`get_result`, `is_complete`, ...) work too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from durable_ray.orchestrations.authoring.context import OrchestrationContext
from durable_ray.orchestrations.engine.unawaited import unawaited
from durable_ray.orchestrations.values.failures import TaskCanceled


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """Azure's spelling of a retry policy with a fixed interval.

    Example:
        >>> RetryOptions(5000, 3).max_number_of_attempts
        3
    """

    first_retry_interval_in_milliseconds: int
    max_number_of_attempts: int

    def __post_init__(self) -> None:
        if self.first_retry_interval_in_milliseconds <= 0:
            raise ValueError("first_retry_interval_in_milliseconds must be greater than 0")


class GeneratorTask:
    """What generator code yields: a task with Azure's properties; ``winner == timer`` compares identity."""

    __slots__ = ("_value", "future")

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    @property
    def is_completed(self) -> bool:
        """Whether the result, a failure or a cancellation is there."""
        return self.future.done()

    @property
    def is_complete(self) -> bool:
        """As `is_completed`, under durabletask-python's name."""
        return self.future.done()

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.future.cancelled()

    @property
    def is_faulted(self) -> bool:
        """Whether it failed."""
        return self.future.done() and not self.future.cancelled() and self.future.exception() is not None

    @property
    def is_failed(self) -> bool:
        """As `is_faulted`, under durabletask-python's name."""
        return self.is_faulted

    @property
    def state(self) -> str:
        """``RUNNING``, ``SUCCEEDED`` or ``FAILED`` (so, too, a cancelled one)."""
        if not self.future.done():
            return "RUNNING"
        return "FAILED" if self.is_cancelled or self.is_faulted else "SUCCEEDED"

    @property
    def result(self) -> Any:
        """The result; as in Azure's SDK None before it is there, and the exception if the task failed."""
        if not self.future.done() or self.future.cancelled():
            return None
        error = self.future.exception()
        return self._own(self.future.result()) if error is None else self._failure(error)

    def get_result(self) -> Any:
        """The result; raises the failure if the task failed (durabletask-python's way).

        Raises:
            TaskCanceled: it was cancelled.
            ValueError: it is not there yet.
        """
        if not self.future.done():
            raise ValueError("the task has no result yet; yield it first")
        if self.future.cancelled():
            raise TaskCanceled(f"the result of a cancelled task was asked for: {self.future!r}")
        error = self.future.exception()
        if error is not None:
            raise self._failure(error)
        return self._own(self.future.result())

    def get_exception(self) -> BaseException | None:
        """The failure, or None."""
        error = self.future.exception() if self.is_faulted else None
        return None if error is None else self._failure(error)

    def cancel(self) -> bool:
        """Give up on the result; False if it is already there."""
        return self.future.cancel()

    def _own(self, value: Any) -> Any:
        return value

    def _failure(self, error: BaseException) -> BaseException:
        """The failure as code is to see it (see `azure_style.py`)."""
        return error

    def __repr__(self) -> str:
        return f"<GeneratorTask {self.future!r}>"


class GeneratorAny(GeneratorTask):
    """The task of a `task_any`: its result is the very object that generator code passed in."""

    __slots__ = ("_given",)

    def __init__(self, future: asyncio.Future[Any], given: list[Any]) -> None:
        super().__init__(future)
        self._given = given

    def _own(self, value: Any) -> Any:
        return next((task for task in self._given if getattr(task, "future", task) is value), value)


class GeneratorAll(GeneratorTask):
    """The task of a `task_all`: each of its results is what the task given there answers by itself."""

    __slots__ = ("_given",)

    def __init__(self, future: asyncio.Future[Any], given: list[Any]) -> None:
        super().__init__(future)
        self._given = given

    def _own(self, value: Any) -> Any:
        return [
            task._own(each) if isinstance(task, GeneratorTask) else each
            for task, each in zip(self._given, value, strict=True)
        ]

    def _failure(self, error: BaseException) -> BaseException:
        return next((task._failure(error) for task in self._given if isinstance(task, GeneratorTask)), error)


#: What Azure's context has and this one has not -> what takes its place.
_INSTEAD = {
    "call_http": "call an activity that sends the request",
    "call_entity": "there are no entities; an orchestrator that waits for events in a loop keeps state",
    "signal_entity": "there are no entities; send_event reaches an orchestrator that waits for events in a loop",
    "histories": "a client's get_history(instance_id) has it",
    "function_context": "there is no Functions host; the context itself has instance_id and parent_instance_id",
}


class GeneratorContext(OrchestrationContext):
    """The context of a generator orchestrator: as `OrchestrationContext`, but calls return `GeneratorTask`s."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Raises AttributeError; for a member of Azure's context that is missing here the message names its replacement."""
        instead = _INSTEAD.get(name)
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}" + (f": {instead}" if instead else ""),
            name=name,
            obj=self,
        )

    def task_any(self, tasks: Any) -> Any:
        """As `OrchestrationContext.task_any`: yields the winning task, the same object that was passed in."""
        given = list(tasks)
        futures = self._futures(given)
        return GeneratorAny(self._first_of(futures), given)

    def task_all(self, tasks: Any) -> Any:
        """As `OrchestrationContext.task_all`; among the results of nested tasks are those of their own kind."""
        given = list(tasks)
        return GeneratorAll(super().task_all(given).future, given)  # type: ignore[attr-defined]

    def _given(self, future: asyncio.Future[Any]) -> Any:  # not a future, and that is the point
        return GeneratorTask(future)

    def _future(self, task: Any) -> asyncio.Future[Any]:
        return task.future if isinstance(task, GeneratorTask) else super()._future(task)


async def drive(generator: Generator[Any, Any, Any]) -> Any:
    """Run generator code to its end: await what it yields, send the result back in, throw failures in."""
    step, argument = generator.send, None
    try:
        while True:
            try:
                yielded = step(argument)
            except StopIteration as stop:
                return stop.value
            try:
                argument = await _awaited(yielded)
                step = generator.send
            except asyncio.CancelledError:
                if not _was_cancelled(yielded):
                    raise
                step, argument = (
                    generator.throw,
                    TaskCanceled(f"a cancelled task was waited for: {yielded!r}"),
                )
            except (Exception, SystemExit, KeyboardInterrupt) as error:  # a value may not be readable
                shown = yielded._failure(error) if isinstance(yielded, GeneratorTask) else error
                step, argument = generator.throw, shown
    finally:
        generator.close()


async def _awaited(yielded: Any) -> Any:
    if isinstance(yielded, GeneratorTask):
        return yielded._own(await yielded.future)
    if isinstance(yielded, asyncio.Future) or hasattr(yielded, "__await__"):
        return await yielded
    if isinstance(yielded, (list, tuple)):
        raise TypeError("a generator orchestrator yields one task; for several: yield context.task_all([...])")
    if (forgotten := unawaited(yielded)) is not None:
        raise TypeError(f"a generator orchestrator yields tasks: {forgotten}")
    raise TypeError(
        f"a generator orchestrator yields tasks (what context.call_activity(...) and its like return), "
        f"not {type(yielded).__name__}: {yielded!r}"
    )


def _was_cancelled(yielded: Any) -> bool:
    future = getattr(yielded, "future", yielded)
    return isinstance(future, asyncio.Future) and future.cancelled()
