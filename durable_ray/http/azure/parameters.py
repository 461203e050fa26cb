"""Which query parameters each route of the management API takes. A handler declares its own; all are read before it runs.

So nothing is started, ended or deleted by a request of which a part was not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from durable_ray.http.requests import Kind, Params

F = TypeVar("F", bound=Callable[..., Any])

#: Common parameters of Durable Functions' routes.
EVERYWHERE: Mapping[str, Kind] = {
    "taskHub": Params.text,
    "connection": Params.text,
    "connectionName": Params.text,
    "code": Params.all,
}

_DECLARED: dict[Callable[..., Any], Mapping[str, Kind]] = {}


def takes(**kinds: Kind) -> Callable[[F], F]:
    """Declare the query parameters of a route, besides those that every route has.

    Example:
        >>> @takes(reason=Params.text)
        ... async def handler(call): ...
        >>> sorted(declared(handler))
        ['code', 'connection', 'connectionName', 'reason', 'taskHub']
    """

    def declare(handler: F) -> F:
        _DECLARED[handler] = {**EVERYWHERE, **kinds}
        return handler

    return declare


def declared(handler: Callable[..., Any]) -> Mapping[str, Kind]:
    """What a handler takes."""
    return _DECLARED.get(handler.func if isinstance(handler, partial) else handler, EVERYWHERE)
