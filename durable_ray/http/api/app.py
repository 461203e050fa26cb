"""The FastAPI app of `/api/v1`: its routes, what it refuses, its errors, its OpenAPI document."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from durable_ray.actors.errors import (
    DamagedHistory,
    HistoryMismatch,
    HubUnavailable,
    InstanceAlreadyExists,
    InstanceFinished,
    InstanceNotFound,
    InvalidState,
    ScheduleAlreadyExists,
    ScheduleChanged,
    ScheduleNotFound,
    UnknownDefinition,
)
from durable_ray.actors.store.contract import InvalidToken
from durable_ray.http.answers import answer, problem
from durable_ray.http.api import bulk, instances, overview, schedules, streams
from durable_ray.http.api.models import Problem
from durable_ray.http.api.schedule_models import add_schedule_schema
from durable_ray.http.api.services import Services
from durable_ray.http.limits import RETRY_AFTER, TooMany
from durable_ray.http.requests import body_of, is_json, replayed
from durable_ray.orchestrations.schedules.documents import UnreadableSchedule
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.values.ids import InvalidEventName, InvalidInstanceId, InvalidLabel
from durable_ray.orchestrations.values.payloads import PayloadError, PayloadTooLarge, from_json_text

log = logging.getLogger("durable_ray.http")

_PARTS = (instances, bulk, schedules, overview, streams)
#: The query parameter that every route takes: the key.
_EVERYWHERE = frozenset({"code"})

_STATUS: dict[type[Exception], tuple[int, str]] = {
    InstanceNotFound: (404, "No such instance"),
    UnknownDefinition: (404, "No such orchestrator"),
    InstanceAlreadyExists: (409, "The instance ID is taken"),
    InstanceFinished: (409, "The instance has finished"),
    HistoryMismatch: (409, "A history does not replay on the newest code"),
    DamagedHistory: (500, "The history is damaged"),
    InvalidState: (409, "Not in this state"),
    ScheduleNotFound: (404, "No such schedule"),
    ScheduleAlreadyExists: (409, "The schedule's ID is taken"),
    ScheduleChanged: (409, "The schedule was changed meanwhile"),
    InvalidSchedule: (400, "No schedule can be like this"),
    UnreadableSchedule: (500, "What is stored of the schedule is damaged"),
    # Well-formed and yet of another query: nothing that the schema could express.
    InvalidToken: (409, "The token does not continue this query"),
    InvalidInstanceId: (422, "No instance can have this ID"),
    InvalidEventName: (422, "No event can have this name"),
    InvalidLabel: (422, "No instance can have this tag or version"),
    PayloadTooLarge: (413, "Too large"),
    PayloadError: (400, "Not JSON"),
    TooMany: (429, "Too many requests that wait"),
    HubUnavailable: (503, "The hub does not answer"),
}


def api_app(services: Services) -> ASGIApp:
    """The app, behind a check that accepts only JSON."""
    app = FastAPI(title="durable_ray", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services = services
    for part in _PARTS:
        app.include_router(part.router, dependencies=[Depends(only_known_parameters)])
    for kind in _STATUS:
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    app.add_api_route(
        "/openapi.json",
        lambda: answer(app.openapi()),
        include_in_schema=False,
        dependencies=[Depends(only_known_parameters)],
    )
    return StrictJson(app, services.settings.max_body_bytes)


class StrictJson:
    """Reads the body before the framework does: it must be JSON, strictly, not too large and not too deep."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Validate one request's body."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = await body_of(request, self._limit)
            if body:
                if not is_json(request):
                    refused = problem(415, "Only JSON is taken", "send Content-Type: application/json")
                    await refused(scope, receive, send)
                    return
                from_json_text(body)
        except PayloadError as error:
            await _answer(error)(scope, receive, send)
            return
        await self._app(scope, replayed(body, receive), send)


async def only_known_parameters(request: Request) -> None:
    """Raises RequestValidationError for a parameter that the route does not take, or for two of one that is single.

    A filter that is misspelt must not mean "all".
    """
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


def _answer(error: Exception) -> Response:
    status, title = next(
        (known for kind, known in _STATUS.items() if isinstance(error, kind)), (500, "Something went wrong")
    )
    return problem(status, title, str(error), RETRY_AFTER if status in (429, 503) else None)


async def _known(request: Request, error: Exception) -> Response:
    return _answer(error)


async def _unknown(request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return problem(500, "Something went wrong", f"{type(error).__name__}; the gateway's log has the details")


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _unknown(request, error)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # The framework names the methods of the first route of that path only.
        headers["Allow"] = ", ".join(sorted(_allowed(request)))
    return problem(error.status_code, str(error.detail), str(error.detail), headers)


def _allowed(request: Request) -> set[str]:
    found: set[str] = set()
    routes = [*request.app.routes, *(route for part in _PARTS for route in part.router.routes)]
    for route in routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    detail = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in found[:5])
    in_body = all(e["loc"][0] == "body" for e in found)
    status, title = (422, "Not what the schema says") if in_body else (400, "A parameter cannot be understood")
    return problem(status, title, detail.encode("utf-8", "replace").decode())


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description="Durable orchestrations on Ray. Errors are `application/problem+json`.",
            routes=app.routes,
            servers=[{"url": "/api/v1"}],
        )
        parts = document["components"]
        parts["schemas"]["Problem"] = Problem.model_json_schema()
        add_schedule_schema(parts["schemas"])
        for unused in ("HTTPValidationError", "ValidationError"):
            parts["schemas"].pop(unused, None)
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
        for path in document["paths"].values():
            for route in path.values():
                refused = {"description": "No valid key", "content": _PROBLEM}
                route["responses"] |= {"401": refused, "403": {"description": "Not with this key", "content": _PROBLEM}}
        app.openapi_schema = document
    return app.openapi_schema


_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
