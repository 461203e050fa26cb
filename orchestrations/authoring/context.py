"""The orchestration context: what orchestrator code may schedule and wait for.

Every method that asks answers at once with a task; awaiting it (or yielding it, in a generator) waits for
history to bring the result. Names and behaviour are those of Durable Functions' Python SDK and of
durabletask-python.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from types import GeneratorType
from typing import Any, ParamSpec, TypeVar, overload

from durable_ray.orchestrations.authoring.arguments import (
    ActivityWithInput,
    ActivityWithoutInput,
    BoundActivity,
    BoundCall,
    BoundOrchestrator,
    OrchestratorWithInput,
    OrchestratorWithoutInput,
)
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.retries import RetryPolicy, retry_policy_of
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

Q = ParamSpec("Q")
A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
D = TypeVar("D")


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

    @overload
    def call(self, fn: Activity[Q, R, Any], /, *args: Q.args, **kwargs: Q.kwargs) -> asyncio.Future[R]: ...
    @overload
    def call(self, fn: Orchestrator[Q, R, Any], /, *args: Q.args, **kwargs: Q.kwargs) -> asyncio.Future[R]: ...
    def call(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call an activity, or an orchestrator as a child, with its own arguments, as they stand in its signature.

        The options are the definition's; to give others: `call_activity(fn.bind(...), retry_policy=...)`.

        Returns:
            A task; see `call_activity` and `call_sub_orchestrator`.

        Raises:
            InvalidArguments: it cannot be called so; the message names the parameter.
            TypeError: `fn` is no definition.

        Example:
            >>> async def shop(ctx: OrchestrationContext) -> None:
            ...     await ctx.call(charge, "ada", 12, currency="EUR")
        """
        if isinstance(fn, Activity):
            return self.call_activity(fn.bind(*args, **kwargs))
        if isinstance(fn, Orchestrator):
            return self.call_sub_orchestrator(fn.bind(*args, **kwargs))
        raise TypeError(
            f"ctx.call takes a decorated function, not {fn!r}; by name call call_activity or call_sub_orchestrator, with "
            "a dict of the arguments as the input"
        )

    @overload
    def call_activity(
        self, activity: ActivityWithInput[A, R], input_: A, *, retry_policy: RetryPolicy | None = None
    ) -> asyncio.Future[R]: ...
    @overload
    def call_activity(
        self,
        activity: BoundActivity[R] | ActivityWithoutInput[R],
        *,
        retry_policy: RetryPolicy | None = None,
    ) -> asyncio.Future[R]: ...
    @overload
    def call_activity(
        self,
        activity: str | Activity[..., Any, Any] | BoundActivity[Any],
        input_: object = None,
        *,
        retry_policy: RetryPolicy | None = None,
        result_type: type[T],
    ) -> asyncio.Future[T]: ...
    @overload
    def call_activity(
        self, activity: str, input_: object = None, *, retry_policy: RetryPolicy | None = None, result_type: Any = None
    ) -> asyncio.Future[Any]: ...
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
            activity: a decorated activity, or its name; or one with its arguments, `activity.bind(...)`.
            input_: its input.
            retry_policy: overrides the activity's own.
            result_type: read the result as this type; by default as the activity's return hint.

        Returns:
            A task. It raises `ActivityFailed` if the last attempt failed. Cancelling it asks the activity to
            stop.

        Raises:
            ValueError: `activity` is neither decorated nor a name.
        """
        if type(activity) is BoundActivity:
            activity, input_ = _unbound(activity, input_)
        name, policy, hint = _called(activity, "activity", retry_policy, result_type)
        return self._given(self._work.call_activity(name, input_, policy, hint))

    @overload
    def call_activity_with_retry(
        self, activity: ActivityWithInput[A, R], retry_options: Any, input_: A
    ) -> asyncio.Future[R]: ...
    @overload
    def call_activity_with_retry(
        self,
        activity: BoundActivity[R] | ActivityWithoutInput[R],
        retry_options: Any,
    ) -> asyncio.Future[R]: ...
    @overload
    def call_activity_with_retry(
        self, activity: str, retry_options: Any, input_: object = None
    ) -> asyncio.Future[Any]: ...
    def call_activity_with_retry(self, activity: Any, retry_options: Any, input_: object = None) -> asyncio.Future[Any]:
        """As `call_activity`, in Azure's spelling."""
        return self.call_activity(activity, input_, retry_policy=retry_policy_of(retry_options))

    @overload
    def call_sub_orchestrator(
        self,
        orchestrator: OrchestratorWithInput[A, R],
        input_: A,
        instance_id: str | None = None,
        *,
        version: str | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> asyncio.Future[R]: ...
    @overload
    def call_sub_orchestrator(
        self,
        orchestrator: OrchestratorWithoutInput[R] | BoundOrchestrator[R],
        *,
        instance_id: str | None = None,
        version: str | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> asyncio.Future[R]: ...
    @overload
    def call_sub_orchestrator(
        self,
        orchestrator: str | Orchestrator[..., Any, Any] | BoundOrchestrator[Any],
        input_: object = None,
        instance_id: str | None = None,
        *,
        version: str | None = None,
        retry_policy: RetryPolicy | None = None,
        result_type: type[T],
    ) -> asyncio.Future[T]: ...
    @overload
    def call_sub_orchestrator(
        self,
        orchestrator: str,
        input_: object = None,
        instance_id: str | None = None,
        *,
        version: str | None = None,
        retry_policy: RetryPolicy | None = None,
        result_type: Any = None,
    ) -> asyncio.Future[Any]: ...
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
            orchestrator: a decorated orchestrator, or its name; or one with its arguments, `orchestrator.bind(...)`.
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
        if isinstance(orchestrator, BoundCall):
            orchestrator, input_ = _unbound(orchestrator, input_)
        name, policy, hint = _called(orchestrator, "orchestrator", retry_policy, result_type)
        return self._given(self._work.call_child(name, input_, instance_id, version, policy, hint))

    @overload
    def call_sub_orchestrator_with_retry(
        self,
        orchestrator: OrchestratorWithInput[A, R],
        retry_options: Any,
        input_: A,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> asyncio.Future[R]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        orchestrator: str | BoundOrchestrator[Any],
        retry_options: Any,
        input_: object = None,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> asyncio.Future[Any]: ...
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
        if isinstance(orchestrator, BoundCall):
            orchestrator, input_ = _unbound(orchestrator, input_)
        name, _, _ = _called(orchestrator, "orchestrator", None, None)
        number = self._work.start_detached(name, input_, instance_id, version)
        return instance_id or child_instance_id(self.instance_id, self.execution_id, number)

    def create_timer(self, fire_at: datetime | timedelta) -> asyncio.Future[None]:
        """Wait until a moment (naive: UTC) or for a while, durably. Cancel the task to disarm the timer."""
        if isinstance(fire_at, timedelta):
            at = after(self._work.loop.now, duration(fire_at, "fire_at"))
        elif isinstance(fire_at, datetime):
            at = to_micros(fire_at)
        else:
            raise TypeError(f"create_timer takes a datetime or a timedelta, not {type(fire_at).__name__}")
        return self._given(self._work.create_timer(at))

    @overload
    def wait_for_external_event(
        self, name: str, timeout: timedelta | float | None = None, *, data_type: type[T]
    ) -> asyncio.Future[T]: ...
    @overload
    def wait_for_external_event(
        self, name: str, timeout: timedelta | float | None, default: D, *, data_type: type[T]
    ) -> asyncio.Future[T | D]: ...
    @overload
    def wait_for_external_event(
        self, name: str, timeout: timedelta | float | None = None, *, default: D, data_type: type[T]
    ) -> asyncio.Future[T | D]: ...
    @overload
    def wait_for_external_event(
        self, name: str, timeout: timedelta | float | None = None, default: object = UNSET, *, data_type: Any = None
    ) -> asyncio.Future[Any]: ...
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

    def task_all(self, tasks: Iterable[Awaitable[T]]) -> asyncio.Future[list[T]]:
        """Wait for all tasks: their results in order, or the first failure in that order once all are done.

        `asyncio.gather`, in contrast, raises at once. An empty list is done at once.
        """
        return self._given(AllTask(self._futures(tasks), loop=self._work.loop))

    def task_any(self, tasks: Iterable[Awaitable[T]]) -> asyncio.Future[asyncio.Future[T]]:
        """Wait for the first of the tasks to finish and answer that task; never raises what the task raised.

        The others go on and may be waited for again.
        """
        return self._given(self._first_of(self._futures(tasks)))

    def continue_as_new(self, input_: object, *, save_events: bool = True) -> None:
        """End this execution now and begin anew with `input_` and an empty history. Does not return.

        Args:
            input_: the next execution's input; several arguments: ``this_orchestrator.bind(...)``.
            save_events: carry unconsumed events over to the next execution.
        """
        work = self._work
        if isinstance(input_, BoundCall):
            if input_.definition.name != self.name:
                raise TypeError(f"{self.name!r} continues as itself, and not as {input_!r}")
            input_ = input_.input
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


def _unbound(bound: BoundCall[Any], input_: object) -> tuple[Any, object]:
    """The definition, and the input that says its arguments."""
    if input_ is not None:
        raise TypeError(f"{bound!r} has its arguments already, and is given no input beside them")
    return bound.definition, bound.input


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
