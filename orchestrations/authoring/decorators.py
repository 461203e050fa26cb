"""The decorators `@activity` and `@orchestrator`, bare or with options.

Both enter what they make into the process's catalog. The overloads spell every option out, so that editors
and type checkers know them; the body takes them as they come, so that a refused or misspelt one gets its
sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from durable_ray.orchestrations.authoring.catalog import catalog
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import (
    UNSET,
    ActivityOptions,
    OrchestratorOptions,
    OrchestratorPlacement,
    Unset,
    options_from,
)
from durable_ray.orchestrations.authoring.retries import RetryPolicy

if TYPE_CHECKING:
    from durable_ray.orchestrations.authoring.activity_context import ActivityContext
    from durable_ray.orchestrations.authoring.definitions import ContextualActivity
    from durable_ray.orchestrations.schedules.declared import DeclaredSchedule
    from durable_ray.orchestrations.schedules.spec import ScheduleSpec

P = ParamSpec("P")
R = TypeVar("R")


class Anything:
    """Stands for a value of any type: what takes it first (`Any`, `object`) is an input, and no context."""


class ActivityDecorator(Protocol):
    """`@activity` with its options."""

    @overload
    def __call__(
        self, fn: Callable[Concatenate[Anything, ...], Coroutine[Any, Any, R]], /
    ) -> Activity[..., R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Anything, ...], R], /) -> Activity[..., R, R]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[ActivityContext, P], Coroutine[Any, Any, R]], /
    ) -> ContextualActivity[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[ActivityContext, P], R], /) -> ContextualActivity[P, R, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Activity[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Activity[P, R, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Make the function an activity."""


class OrchestratorDecorator(Protocol):
    """`@orchestrator` with its options."""

    @overload
    def __call__(
        self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> Orchestrator[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[Any, P], Generator[Any, Any, R]], /
    ) -> Orchestrator[P, R, Generator[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], R], /) -> Orchestrator[P, R, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Make the function an orchestrator."""


@overload
def activity(
    fn: Callable[Concatenate[Anything, ...], Coroutine[Any, Any, R]], /
) -> Activity[..., R, Coroutine[Any, Any, R]]: ...
@overload
def activity(fn: Callable[Concatenate[Anything, ...], R], /) -> Activity[..., R, R]: ...
@overload
def activity(
    fn: Callable[Concatenate[ActivityContext, P], Coroutine[Any, Any, R]], /
) -> ContextualActivity[P, R, Coroutine[Any, Any, R]]: ...
@overload
def activity(fn: Callable[Concatenate[ActivityContext, P], R], /) -> ContextualActivity[P, R, R]: ...
@overload
def activity(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Activity[P, R, Coroutine[Any, Any, R]]: ...
@overload
def activity(fn: Callable[P, R], /) -> Activity[P, R, R]: ...
@overload
def activity(
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | None = None,
    timeout: timedelta | float | None = None,
    local: bool = False,
    detached: bool = False,
    max_running: int | None = None,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    memory: float | None = None,
    resources: Mapping[str, float] | None = None,
    accelerator_type: str | None = None,
    label_selector: Mapping[str, str] | None = None,
    fallback_strategy: list[dict[str, Any]] | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    scheduling_strategy: Any = None,
    max_calls: int | None = None,
) -> ActivityDecorator: ...
def activity(fn: Any = None, /, **declared: Any) -> Any:
    """Make a function an activity: a step of an orchestration that does real work.

    The function takes any parameters, before them an `ActivityContext` if it is annotated so, and may be
    `async def`. It still can be called as a plain function.

    Args:
        name: what it is called and registered by; the function's own name by default.
        retry_policy: when to try again if it raises; None does not.
        timeout: how long one attempt may take (timedelta or seconds).
        local: run in a thread of the host: for small, I/O-bound work.
        detached: run in an actor of its own that outlives the host: for work of hours.
        max_running: how many attempts run at a time in the whole hub; the others wait, oldest first.
        num_cpus, num_gpus, memory, resources, accelerator_type, label_selector, fallback_strategy,
        runtime_env,
            scheduling_strategy, max_calls: Ray's task options. Declaring one makes each attempt a Ray task.

    Raises:
        TypeError: not a function, a type hint that cannot be understood, or an option that does not exist or is refused.
        ValueError: an option has a value it cannot have.
        DuplicateDefinition: another function of this process has the name.

    Example:
        >>> @activity(retry_policy=RetryPolicy(max_number_of_attempts=3))
        ... def say_hello(city: str) -> str:
        ...     return f"Hello {city}!"
        >>> say_hello("Tokyo")
        'Hello Tokyo!'

    Activities are Durable Functions'; the options after `max_running` are those of `ray.remote`.
    """

    def define(function: Callable[..., Any]) -> Activity[..., Any]:
        made = Activity(function, options_from(ActivityOptions, _named(function, declared)))
        made.look_at_hints()
        catalog.register(made)
        return made

    return define if fn is None else define(fn)


@overload
def orchestrator(
    fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> Orchestrator[P, R, Coroutine[Any, Any, R]]: ...
@overload
def orchestrator(
    fn: Callable[Concatenate[Any, P], Generator[Any, Any, R]], /
) -> Orchestrator[P, R, Generator[Any, Any, R]]: ...
@overload
def orchestrator(fn: Callable[Concatenate[Any, P], R], /) -> Orchestrator[P, R, R]: ...
@overload
def orchestrator(
    *,
    name: str | None = None,
    version: str = "",
    placement: OrchestratorPlacement | None = None,
    idle_timeout: timedelta | float | Unset | None = UNSET,
    retain_for: timedelta | float | Unset | None = UNSET,
    num_cpus: float | None = None,
    memory: float | None = None,
    resources: Mapping[str, float] | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    max_recoveries: int | None = None,
    pin_activities: bool = False,
    priority: int = 0,
    max_running: int | None = None,
    schedule: DeclaredSchedule | ScheduleSpec | str | None = None,
) -> OrchestratorDecorator: ...
def orchestrator(fn: Any = None, /, **declared: Any) -> Any:
    """Make a function an orchestrator: deterministic code that schedules activities, timers and sub-orchestrations.

    The function takes its `OrchestrationContext` and any parameters. It is `async def`, a generator that
    yields tasks (as in Azure's Python SDK), or a plain function that returns at once. The options are those
    of `OrchestratorOptions`; durations are timedeltas or seconds.

    `schedule` starts it by the clock, from when it is deployed: a cron expression (in UTC), a `ScheduleSpec`, or a
    `DeclaredSchedule` with input and policies. What is changed in code changes the schedule at the next deployment; what was
    changed by hand stays until then, and a pause for good.

    Raises:
        TypeError: not a function of that form, a type hint that cannot be understood, or an option that does not exist
            or is refused.
        ValueError: an option has a value it cannot have.
        InvalidSchedule: (a ValueError) what is wrong with the schedule; of a cron expression, at which character.
        DuplicateDefinition: another function of this process has the name and version.

    Example:
        >>> @orchestrator(version="2")
        ... async def greet(ctx: OrchestrationContext, city: str) -> str:
        ...     return await ctx.call_activity(say_hello, city)
        >>> greet.name, greet.version
        ('greet', '2')

    Orchestrators are Durable Functions'.
    """

    def define(function: Callable[..., Any]) -> Orchestrator[..., Any]:
        made = Orchestrator(function, options_from(OrchestratorOptions, _scheduled(_named(function, declared))))
        made.look_at_hints()
        catalog.register(made)
        return made

    return define if fn is None else define(fn)


def _named(function: Any, declared: Mapping[str, Any]) -> dict[str, Any]:
    name = declared.get("name")
    if name is None:
        name = getattr(function, "__name__", repr(function))
        if name == "<lambda>":
            raise TypeError("a lambda has no name to be registered and found by; use def, or give it name=...")
    return {**declared, "name": name}


def _scheduled(options: dict[str, Any]) -> dict[str, Any]:
    if options.get("schedule") is None:
        return options
    # Here, as few orchestrators have one and every worker imports this file.
    from durable_ray.orchestrations.schedules.declared import declaration_of

    return {**options, "schedule": declaration_of(options["name"], options["schedule"])}
