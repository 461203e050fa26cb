"""From a function of an Azure app to a definition: names, lenient types, and parameters that only a Functions host fills."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

from durable_ray.azure.absent import Entity, refuse
from durable_ray.azure.triggers import HostFunction
from durable_ray.orchestrations.authoring import definitions
from durable_ray.orchestrations.authoring.activity_context import ActivityContext
from durable_ray.orchestrations.authoring.azure_style import azure_style
from durable_ray.orchestrations.authoring.catalog import catalog
from durable_ray.orchestrations.authoring.decorators import activity as activity_of
from durable_ray.orchestrations.authoring.decorators import orchestrator as orchestrator_of
from durable_ray.orchestrations.authoring.signatures import Hints

Definition = definitions.Activity[..., Any] | definitions.Orchestrator[..., Any]

#: Definitions whose name stands in their trigger: that one wins over `function_name`, as on Azure.
_named: WeakSet[Any] = WeakSet()


def define_orchestrator(
    target: Any, name: str | None, parameter: str | None = None, input_type: Any = None
) -> definitions.Orchestrator[..., Any]:
    """Make a function an orchestrator that is given Azure's context."""
    host = HostFunction.of(target)
    if parameter is not None:
        expect(host.fn, parameter)
    made: definitions.Orchestrator[..., Any] = orchestrator_of(name=name or host.name)(azure_style(host.fn))
    # Azure decodes by no hint but this: a generator's annotations are about something else.
    made._hints = Hints(input=input_type)
    if name is not None:
        _named.add(made)
    return made


def define_activity(target: Any, name: str | None, parameter: str | None) -> definitions.Activity[..., Any]:
    """Make a function an activity. Its annotations change no value: on Azure `name: str` may be given a dict."""
    if parameter is None:
        raise ValueError("its trigger names no parameter")
    host = HostFunction.of(target)
    expect(host.fn, parameter)
    called = _alone(host.fn, parameter)
    made: definitions.Activity[..., Any] = activity_of(name=name or host.name or host.fn.__name__)(called)
    made._hints = Hints()
    if name is not None:
        _named.add(made)
    return made


def define_unusable(name: str, reason: str, *, activity: bool) -> Definition:
    """Register an activity or orchestrator in the place of one that cannot be called: calling it says why."""
    if activity:

        def unusable(value: Any = None) -> Any:
            raise ValueError(reason)

        unusable_activity: Definition = activity_of(name=name)(unusable)
        return unusable_activity

    async def cannot_run(context: Any, value: Any = None) -> Any:
        raise ValueError(reason)

    return orchestrator_of(name=name)(cannot_run)


def rename(target: Any, name: str) -> Any:
    """`function_name`, whether it stands above the trigger or below it."""
    if isinstance(target, Entity):
        return Entity(target.entity_function, name)
    if not isinstance(target, definitions.Activity | definitions.Orchestrator):
        return HostFunction.of(target).but(name=name)
    if target in _named:
        return target
    return renamed(target, name)


def renamed(target: Definition, name: str) -> Definition:
    """The definition under another name, and no longer under its own."""
    assert target.fn is not None
    other: Definition = type(target)(target.fn, replace(target.options, name=name))  # type: ignore[arg-type]
    other._hints = target._hints
    catalog.forget(target)
    catalog.register(other)
    return other


def expect(fn: Callable[..., Any], parameter: str) -> None:
    """Raises ValueError if the function has no such parameter."""
    if parameter not in inspect.signature(fn).parameters:
        raise ValueError(f"{fn.__qualname__} has no parameter named {parameter!r}")


def _alone(fn: Callable[..., Any], parameter: str) -> Callable[..., Any]:
    """The function of its input alone; what else it asks for is added, or cannot be had."""
    rest = [
        other.name
        for other in inspect.signature(fn).parameters.values()
        if other.name != parameter
        and other.default is other.empty
        and other.kind not in (other.VAR_POSITIONAL, other.VAR_KEYWORD)
    ]
    if not rest:
        return fn
    if rest == ["context"]:
        return _with_invocation(fn, parameter)

    def incomplete(value: Any = None) -> Any:
        names = ", ".join(rest)
        refuse(
            f"the activity {fn.__qualname__} also takes {names}",
            "durable_ray has no Functions host that fills bindings; open in the activity what it needs "
            "(a client: durable_ray.client_of(context))",
        )

    return _named_as(incomplete, fn)


def _with_invocation(fn: Callable[..., Any], parameter: str) -> Callable[..., Any]:
    """Azure gives a parameter called `context` what is known of the invocation."""

    async def awaited(context: ActivityContext, value: Any) -> Any:
        return await fn(**{parameter: value, "context": _invocation(context)})

    def called(context: ActivityContext, value: Any) -> Any:
        return fn(**{parameter: value, "context": _invocation(context)})

    invoked: Any = awaited if inspect.iscoroutinefunction(fn) else called
    invoked.__annotations__ = {"context": ActivityContext}
    return _named_as(invoked, fn)


def _invocation(context: ActivityContext) -> SimpleNamespace:
    invocation = f"{context.instance_id}/{context.execution_id}/{context.task_id}/{context.attempt}"
    return SimpleNamespace(
        invocation_id=invocation,
        function_name=context.name,
        function_directory="",
        trace_context=None,
        retry_context=None,
    )


def _named_as(made: Any, fn: Callable[..., Any]) -> Callable[..., Any]:
    """With the name of what it stands for, and its own signature."""
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(made, name, getattr(fn, name))
    stand_in: Callable[..., Any] = made
    return stand_in
