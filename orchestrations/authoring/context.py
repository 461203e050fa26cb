"""The orchestration context: what orchestrator code may schedule and wait for.

Every method that asks answers at once with a task; awaiting it (or yielding it, in a generator) waits for
history to bring the result. Names and behaviour are those of Durable Functions' Python SDK and of
durabletask-python.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from types import GeneratorType
from typing import Any

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.authoring.surroundings import ReplaySafeContext
from durable_ray.orchestrations.engine.tasks import AllTask, AnyTask, InertTask
from durable_ray.orchestrations.engine.work import UNSET
from durable_ray.orchestrations.values.ids import (
    child_instance_id,
    validate_event_name,
    validate_instance_id,
    validate_version,
)
from durable_ray.orchestrations.values.times import after, duration, to_micros
from durable_ray.orchestrations.values.unawaited import unawaited


class ContinueAsNew(BaseException):
    """Ends the code that called `continue_as_new`. A `BaseException`: user code must not swallow it."""


class OrchestrationContext(ReplaySafeContext):
    """The context of an orchestration: the API by which orchestrator code schedules work, timers and events.

    Example:
        >>> async def hello(ctx: OrchestrationContext, city: str) -> str:
        ...     greeting = await ctx.call_activity("say_hello", city)
        ...     await ctx.create_timer(timedelta(hours=1))
        ...     return greeting
    """

    __slots__ = ()

    def call_activity(
        self,
        activity: Any,
        input_: object = None,
        *,
        retry_policy: RetryPolicy | None = None,
        result_type: Any = None,
    ) -> asyncio.Future[Any]:
        """Run an activity.

        Args:
            activity: a decorated activity, or its name.
            input_: its input.
            retry_policy: overrides the activity's own.
            result_type: read the result as this type; by default as the activity's return hint.

        Returns:
            A task. It raises `ActivityFailed` if the last attempt failed. Cancelling it asks the activity to
            stop.

        Raises:
            ValueError: `activity` is neither decorated nor a name.
        """
        name, policy, hint = _called(activity, "activity", retry_policy, result_type)
        return self._given(self._work.call_activity(name, input_, policy, hint))

    def call_activity_with_retry(self, activity: Any, retry_options: Any, input_: object = None) -> asyncio.Future[Any]:
        """As `call_activity`, in Azure's spelling."""
        return self.call_activity(activity, input_, retry_policy=retry_policy_of(retry_options))

    def call_sub_orchestrator(
        self,
        orchestrator: Any,
        input_: object = None,
        instance_id: str | None = None,
        *,
        version: str | None = None,
        retry_policy: RetryPolicy | None = None,
        result_type: Any = None,
    ) -> asyncio.Future[Any]:
        """Run another orchestrator as a child of this one.

        Args:
            orchestrator: a decorated orchestrator, or its name.
            input_: its input.
            instance_id: the child's ID; by default one derived from this instance's.
            version: the child's version; by default the newest.
            retry_policy: overrides the orchestrator's own.
            result_type: read the result as this type; by default as the orchestrator's return hint.

        Returns:
            A task. It raises `SubOrchestrationFailed` if the child failed, was terminated or could not be
            started. Cancelling it stops the waiting, not the child.

        Raises:
            InvalidInstanceId: no instance can have this ID.
            InvalidLabel: no orchestrator can have this version.
        """
        if instance_id is not None:
            validate_instance_id(instance_id)
        if version is not None:
            validate_version(version)
        name, policy, hint = _called(orchestrator, "orchestrator", retry_policy, result_type)
        return self._given(self._work.call_child(name, input_, instance_id, version, policy, hint))

    def call_sub_orchestrator_with_retry(
        self,
        orchestrator: Any,
        retry_options: Any,
        input_: object = None,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> asyncio.Future[Any]:
        """As `call_sub_orchestrator`, in Azure's spelling."""
        policy = retry_policy_of(retry_options)
        return self.call_sub_orchestrator(orchestrator, input_, instance_id, version=version, retry_policy=policy)

    def start_orchestration(
        self,
        orchestrator: Any,
        input_: object = None,
        instance_id: str | None = None,
        *,
        version: str | None = None,
    ) -> str:
        """Start another orchestrator and go on (.NET's `StartNewOrchestration`); answers its ID.

        Raises:
            InvalidInstanceId: no instance can have this ID.
            InvalidLabel: no orchestrator can have this version.
        """
        if instance_id is not None:
            validate_instance_id(instance_id)
        if version is not None:
            validate_version(version)
        name, _, _ = _called(orchestrator, "orchestrator", None, None)
        number = self._work.start_detached(name, input_, instance_id, version)
        return instance_id or child_instance_id(self.instance_id, self.execution_id, number)

    def create_timer(self, fire_at: datetime | timedelta) -> asyncio.Future[Any]:
        """Wait until a moment (naive: UTC) or for a while, durably. Cancel the task to disarm the timer."""
        if isinstance(fire_at, timedelta):
            at = after(self._work.loop.now, duration(fire_at, "fire_at"))
        elif isinstance(fire_at, datetime):
            at = to_micros(fire_at)
        else:
            raise TypeError(f"create_timer takes a datetime or a timedelta, not {type(fire_at).__name__}")
        return self._given(self._work.create_timer(at))

    def wait_for_external_event(
        self,
        name: str,
        timeout: timedelta | float | None = None,
        default: object = UNSET,
        *,
        data_type: Any = None,
    ) -> asyncio.Future[Any]:
        """Wait for an event that somebody raises for this instance.

        Events are matched by name without regard to case, and served first come, first served: one that
        arrived before it was waited for is kept.

        Args:
            name: the event's name.
            timeout: give up after this long (timedelta, or seconds); None and infinity: never.
            default: what to answer then; without one, `TimeoutError` is raised.
            data_type: read the event's data as this type.

        Raises:
            InvalidEventName: no event can have this name; a ValueError.
        """
        validate_event_name(name)
        limit = None if timeout is None or timeout == math.inf else duration(timeout, "timeout")
        return self._given(self._work.wait_for_event(name, limit, default, data_type))

    def send_event(self, instance_id: str, name: str, data: object = None) -> None:
        """Raise an event for another instance, exactly once; dropped if that one is absent or finished.

        Raises:
            InvalidInstanceId: no instance can have this ID.
            InvalidEventName: no event can have this name; a ValueError.
        """
        validate_instance_id(instance_id)
        validate_event_name(name)
        self._work.send_event(instance_id, name, data)

    def task_all(self, tasks: Iterable[Any]) -> asyncio.Future[Any]:
        """Wait for all tasks: their results in order, or the first failure in that order once all are done.

        `asyncio.gather`, in contrast, raises at once. An empty list is done at once.
        """
        return self._given(AllTask(self._futures(tasks), loop=self._work.loop))

    def task_any(self, tasks: Iterable[Any]) -> asyncio.Future[Any]:
        """Wait for the first of the tasks to finish and answer that task; never raises what the task raised.

        The others go on and may be waited for again.
        """
        return self._given(self._first_of(self._futures(tasks)))

    def continue_as_new(self, input_: object, *, save_events: bool = True) -> None:
        """End this execution now and begin anew with `input_` and an empty history. Does not return.

        Args:
            input_: the next execution's input.
            save_events: carry unconsumed events over to the next execution.
        """
        work = self._work
        if not work.loop.inert:
            payload = None if input_ is None else work.encode(input_)
            work.continued = (payload, save_events)
            work.loop.inert = True
        raise ContinueAsNew

    def set_custom_status(self, status: object) -> None:
        """Set the custom status (any JSON value) that queries of this instance show; None clears it."""
        if not self._work.loop.inert:
            self._work.custom_status = self._work.encode(status)

    # --- how tasks are handed out and taken back ---

    def _given(self, future: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """What code gets for `future`; generator code gets something else (see `generators.py`)."""
        return future

    def _future(self, task: Any) -> asyncio.Future[Any]:
        """The future of something that code gave back."""
        if isinstance(task, GeneratorType):
            raise TypeError(unawaited(task) or f"{task!r} is a generator, and no task that can be waited for")
        future: asyncio.Future[Any] = asyncio.ensure_future(task)
        return future

    def _first_of(self, futures: Sequence[asyncio.Future[Any]]) -> AnyTask:
        if not futures:
            raise ValueError("task_any needs at least one task, or it would wait for ever")
        return AnyTask(futures, loop=self._work.loop)

    def _futures(self, tasks: Iterable[Any]) -> Sequence[asyncio.Future[Any]]:
        if self._work.loop.inert:
            return [InertTask(loop=self._work.loop)]
        return [self._future(task) for task in tasks]


def retry_policy_of(options: Any) -> RetryPolicy | None:
    """A `RetryPolicy` as it is; anything with Azure's two attributes as the policy that it means.

    Raises:
        TypeError: `options` is neither.
    """
    if options is None or isinstance(options, RetryPolicy):
        return options
    try:
        interval = options.first_retry_interval_in_milliseconds / 1000
        return RetryPolicy(interval, options.max_number_of_attempts)
    except AttributeError:
        raise TypeError(f"retry options are a RetryPolicy or Azure's RetryOptions, not {options!r}") from None


def _called(target: Any, kind: str, policy: RetryPolicy | None, hint: Any) -> tuple[str, RetryPolicy | None, Any]:
    """Name, retry policy and result type of what is to be called."""
    if isinstance(target, str):
        return target, policy, hint
    name = getattr(target, "name", None)
    if not isinstance(name, str):
        if isinstance(target, Callable):  # type: ignore[arg-type]
            called = getattr(target, "__name__", repr(target))
            raise ValueError(f"{called} is a plain function: decorate it with @{kind}, or pass the {kind}'s name")
        raise ValueError(f"an {kind} is called by its decorated function or its name, not by {target!r}")
    if policy is None:
        policy = getattr(getattr(target, "options", None), "retry_policy", None)
    return name, policy, getattr(target, "output_hint", None) if hint is None else hint
