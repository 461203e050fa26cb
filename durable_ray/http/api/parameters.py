"""Query parameters of `/api/v1` that no route takes are refused: a filter that is misspelt must not mean "all"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError

#: Taken by every route: the key.
_EVERYWHERE = frozenset({"code"})


async def only_known_parameters(request: Request) -> None:
    """Raises RequestValidationError for a parameter that the route does not take, or for two of one that is single."""
    known = {parameter.alias: parameter for parameter in _parameters(request.scope["route"].dependant)}
    errors = []
    for name in dict.fromkeys(request.query_params):
        if name.lower() in _EVERYWHERE:
            continue
        values = set(request.query_params.getlist(name))
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            errors.append({"loc": ("query", name), "msg": f"there is no such parameter here; there are: {listed}"})
        elif len(values) > 1 and not _is_list(known[name]):
            errors.append({"loc": ("query", name), "msg": "it is given several times, and not the same each time"})
    if errors:
        raise RequestValidationError(errors)


def _parameters(dependant: Any) -> Iterator[Any]:
    yield from dependant.query_params
    for other in dependant.dependencies:
        yield from _parameters(other)


def _is_list(parameter: Any) -> bool:
    return isinstance(parameter.default, list)
