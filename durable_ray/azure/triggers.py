"""Functions of an app that a Functions host would call: starters behind a route, a timer, a queue.

There is no such host here, so they are never triggered. They can be imported with any triggers and bindings, in any order, and
can be called from code (a web framework, a cron job, a test): a durable client that they ask for is given to them.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from durable_ray.azure.absent import Entity, refuse
from durable_ray.azure.client import DurableOrchestrationClient
from durable_ray.orchestrations.authoring.definitions import Definition

#: Decorators of Azure's `FunctionApp` and `Blueprint` that declare when a function is called, and with what.
KINDS = re.compile(
    r"\w+_(trigger|input|output|input_binding|output_binding|trigger_v3|input_v3|output_v3)|mcp_tool(_property)?"
)
KIND_NAMES = frozenset({"route", "schedule", "retry", "http_type"})

_NO_HOST = (
    "durable_ray has no Functions host, so nobody calls this for its trigger. Orchestrations are started and managed over "
    "HTTP by the gateway (`durable-ray serve`), from Python by durable_ray.Client; a schedule is an eternal orchestration. "
    "Call the function yourself with the arguments that the host would give it (its durable client is added)"
)


@dataclass(frozen=True)
class HostFunction:
    """What was declared about one function."""

    fn: Callable[..., Any]
    name: str | None = None
    kinds: tuple[str, ...] = ()
    client: str | None = None
    task_hub: str | None = None

    @classmethod
    def of(cls, target: Any) -> HostFunction:
        """The declarations of a function, whether this module or azure-functions itself decorated it."""
        known = getattr(target, "durable_ray_host", None)
        if isinstance(known, cls):
            return known
        inner = getattr(target, "_function", None)  # azure.functions' FunctionBuilder
        return cls.of(inner._func) if inner is not None and hasattr(inner, "_func") else cls(target)

    def but(self, **changes: Any) -> Callable[..., Any]:
        """The function with this declared too."""
        return replace(self, **changes).callable()

    def callable(self) -> Callable[..., Any]:
        """The function as code calls it."""
        host = self
        if self.client is not None or inspect.iscoroutinefunction(self.fn):

            @functools.wraps(self.fn)
            async def called(*args: Any, **kwargs: Any) -> Any:
                result = host._call(args, kwargs)
                return await result if inspect.isawaitable(result) else result

        else:

            @functools.wraps(self.fn)
            def called(*args: Any, **kwargs: Any) -> Any:
                return host._call(args, kwargs)

        called.durable_ray_host = self  # type: ignore[attr-defined]
        # As Azure's own tests reach the user's code.
        called.client_function = self.fn  # type: ignore[attr-defined]
        return called

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        signature = inspect.signature(self.fn)
        client = self.client
        if client is not None and client not in signature.bind_partial(*args, **kwargs).arguments:
            kwargs = {**kwargs, client: DurableOrchestrationClient(self.task_hub)}
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            declared = ", ".join(self.kinds) or "no trigger"
            refuse(f"{self.fn.__qualname__} ({declared}) was called without its arguments ({error})", _NO_HOST)
        return self.fn(*args, **kwargs)


def declare(kind: str) -> Callable[..., Callable[[Any], Any]]:
    """The decorator of that name: it takes any arguments and records them for the caller."""

    def with_arguments(*_: Any, **__: Any) -> Callable[[Any], Any]:
        def decorate(target: Any) -> Any:
            if is_declared(target):
                return target  # a missing parameter is an error when it is called
            host = HostFunction.of(target)
            return host.but(kinds=(*host.kinds, kind))

        return decorate

    return with_arguments


def is_declared(target: Any) -> bool:
    """Whether this is an orchestrator, an activity or an entity already."""
    return isinstance(target, Definition | Entity)


def is_kind(name: str) -> bool:
    """Whether Azure's app has a decorator of that name."""
    return name in KIND_NAMES or KINDS.fullmatch(name) is not None
