"""Azure's decorators and `Orchestrator.create`: they make the same definitions as durable_ray's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from durable_ray.azure.absent import Entity
from durable_ray.azure.defining import define_activity, define_orchestrator, expect, rename
from durable_ray.azure.triggers import HostFunction, declare, is_declared, is_kind
from durable_ray.orchestrations.authoring import definitions

#: What the first programming model calls every function; there the folder is the name.
_NAMELESS = frozenset(("main", "orchestrator_function", "orchestrator"))


class AzureOrchestrator:
    """Azure's first programming model: `main = df.Orchestrator.create(orchestrator_function)`."""

    @classmethod
    def create(cls, fn: Callable[..., Any], name: str | None = None) -> definitions.Orchestrator[..., Any]:
        """Make a generator function an orchestrator.

        Args:
            name: under which it is started. By default the function's name; where that is generic
                (`orchestrator_function`, `main`) its module's; and in the `__init__.py` of a folder the folder's, as there.

        Example:
            >>> def countdown(context):
            ...     yield context.create_timer(context.current_utc_datetime)
            >>> AzureOrchestrator.create(countdown).name
            'countdown'
        """
        return define_orchestrator(fn, name or _own_name(fn))


def _own_name(fn: Callable[..., Any]) -> str:
    package = fn.__module__.removesuffix(".__init__").rpartition(".")[2]
    in_folder = os.path.basename(fn.__globals__.get("__file__") or "") == "__init__.py"
    named = in_folder or fn.__name__ in _NAMELESS
    return package if named and package != "__main__" else fn.__name__


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

    def __init__(self, http_auth_level: Any = None, *_: Any, **__: Any) -> None:
        self.auth_level = http_auth_level
        #: `azure.functions.FunctionApp().register_functions(blueprint)` reads it; a definition is known already.
        self._function_builders: list[Any] = []

    def orchestration_trigger(
        self, context_name: str, orchestration: str | None = None, input_type: Any = None
    ) -> Callable[[Any], definitions.Orchestrator[..., Any]]:
        """Make a function an orchestrator named `orchestration`, or as the function."""
        return lambda target: define_orchestrator(target, orchestration, context_name, input_type)

    def activity_trigger(
        self, input_name: str, activity: str | None = None
    ) -> Callable[[Any], definitions.Activity[..., Any]]:
        """Make a function an activity named `activity`, or as the function."""
        return lambda target: define_activity(target, activity, input_name)

    def entity_trigger(self, context_name: str, entity_name: str | None = None) -> Callable[[Any], Entity]:
        """Declare an entity; calling one raises NotImplementedError."""

        def define(target: Any) -> Entity:
            host = HostFunction.of(target)
            expect(host.fn, context_name)
            return Entity(host.fn, entity_name or host.name)

        return define

    def function_name(self, name: str, **_: Any) -> Callable[[Any], Any]:
        """Give an orchestrator, an activity or another function its name, above or below its trigger."""
        return lambda target: rename(target, name)

    def durable_client_input(
        self, client_name: str, task_hub: str | None = None, connection_name: str | None = None
    ) -> Callable[[Any], Any]:
        """Give a function a `DurableOrchestrationClient` as its argument `client_name`, unless its caller does."""

        def define(target: Any) -> Any:
            if is_declared(target):
                return target  # an activity asks `durable_ray.client_of(context)`
            host = HostFunction.of(target)
            expect(host.fn, client_name)
            return host.but(client=client_name, task_hub=task_hub, kinds=(*host.kinds, "durable_client_input"))

        return define

    def register_functions(self, function_container: Any) -> None:
        """What a blueprint defines is known already."""

    register_blueprint = register_functions

    def get_functions(self) -> list[Any]:
        """Nothing: there is no host that would index them."""
        return []

    def __getattr__(self, name: str) -> Callable[..., Callable[[Any], Any]]:
        if is_kind(name):
            return declare(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)


class DFApp(Blueprint):
    """Azure's application object; see `Blueprint`."""
