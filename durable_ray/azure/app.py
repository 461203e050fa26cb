"""Azure's decorators and `Orchestrator.create`: they make the same definitions as durable_ray's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from durable_ray.azure.absent import entity_trigger, refuse
from durable_ray.azure.client import DurableOrchestrationClient
from durable_ray.orchestrations import definitions
from durable_ray.orchestrations.catalog import catalog
from durable_ray.orchestrations.decorators import activity as activity_of
from durable_ray.orchestrations.decorators import orchestrator as orchestrator_of

Definition = definitions.Activity[..., Any] | definitions.Orchestrator[..., Any]

#: What the first programming model calls every function; there the folder is the name.
_NAMELESS = frozenset(("main", "orchestrator_function", "orchestrator"))


class Orchestrator:
    """Azure's first programming model: `main = df.Orchestrator.create(orchestrator_function)`."""

    @classmethod
    def create(cls, fn: Callable[..., Any], name: str | None = None) -> definitions.Orchestrator[..., Any]:
        """Make a generator function an orchestrator.

        Args:
            name: under which it is started. By default the function's name, or, where that says nothing
                (`orchestrator_function`, `main`), its module's: there a function's folder is its name.

        Example:
            >>> def countdown(context):
            ...     yield context.create_timer(context.current_utc_datetime)
            >>> Orchestrator.create(countdown).name
            'countdown'
        """
        if name is None:
            package = fn.__module__.removesuffix(".__init__").rpartition(".")[2]
            name = package if fn.__name__ in _NAMELESS and package != "__main__" else fn.__name__
        made: definitions.Orchestrator[..., Any] = orchestrator_of(name=name)(fn)
        return made


class Blueprint:
    """Azure's second programming model, as far as it is about orchestrations.

    Example:
        >>> app = Blueprint()
        >>> @app.activity_trigger(input_name="city")
        ... def greet_city(city: str) -> str:
        ...     return f"Hello {city}!"
        >>> greet_city.name
        'greet_city'
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def orchestration_trigger(
        self, context_name: str, orchestration: str | None = None
    ) -> Callable[[Callable[..., Any]], definitions.Orchestrator[..., Any]]:
        """Make a function an orchestrator named `orchestration`, or as the function."""

        def define(fn: Callable[..., Any]) -> definitions.Orchestrator[..., Any]:
            _expect(fn, context_name)
            made: definitions.Orchestrator[..., Any] = orchestrator_of(name=orchestration)(fn)
            return made

        return define

    def activity_trigger(
        self, input_name: str, activity: str | None = None
    ) -> Callable[[Callable[..., Any]], definitions.Activity[..., Any]]:
        """Make a function an activity named `activity`, or as the function."""

        def define(fn: Callable[..., Any]) -> definitions.Activity[..., Any]:
            _expect(fn, input_name)
            made: definitions.Activity[..., Any] = activity_of(name=activity)(fn)
            return made

        return define

    def function_name(self, name: str) -> Callable[[Any], Any]:
        """Give an orchestrator, an activity or a plain function another name."""

        def rename(target: Any) -> Any:
            if not isinstance(target, definitions.Activity | definitions.Orchestrator):
                return target
            assert target.fn is not None
            renamed: Definition = type(target)(target.fn, replace(target.options, name=name))  # type: ignore[arg-type]
            catalog.register(renamed)
            return renamed

        return rename

    def durable_client_input(
        self, client_name: str, task_hub: str | None = None, connection_name: str | None = None
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Give an `async` function a `DurableOrchestrationClient` as its argument `client_name`."""

        def wrap(fn: Callable[..., Any]) -> Callable[..., Any]:
            _expect(fn, client_name)

            @functools.wraps(fn)
            async def with_client(*args: Any, **kwargs: Any) -> Any:
                if client_name not in kwargs:
                    kwargs[client_name] = DurableOrchestrationClient(task_hub)
                result = fn(*args, **kwargs)
                return await result if inspect.isawaitable(result) else result

            return with_client

        return wrap

    entity_trigger = staticmethod(entity_trigger)

    def register_functions(self, blueprint: Blueprint) -> None:
        """What a blueprint defines is known already."""

    register_blueprint = register_functions

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("_"):
            raise AttributeError(name)
        return functools.partial(
            refuse,
            f"{type(self).__name__}.{name}",
            "durable_ray has no Functions host, so no triggers and bindings of its own. Orchestrations are started and "
            "managed over HTTP by the gateway (`durable-ray up`), from Python by durable_ray.Client",
        )


class DFApp(Blueprint):
    """Azure's application object; see `Blueprint`."""


def _expect(fn: Callable[..., Any], parameter: str) -> None:
    if parameter not in inspect.signature(fn).parameters:
        raise ValueError(f"{fn.__qualname__} has no parameter named {parameter!r}")
