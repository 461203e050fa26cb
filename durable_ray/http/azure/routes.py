"""The routes of the management API, under its bases, and the starters under `/orchestrators`: one handler for all.

Not a framework's router: segments of the path match in any case, parts of it are decoded one by one, and whatever is no
route is 404 without a body, for any method.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from durable_ray.client.raw_hub import RawHub
from durable_ray.http.answers import empty
from durable_ray.http.azure import managing, querying, starting
from durable_ray.http.azure.call import ManagementCall
from durable_ray.http.azure.errors import response_to
from durable_ray.http.azure.parameters import declared
from durable_ray.http.limits import PerKey
from durable_ray.http.requests import Params, segments
from durable_ray.http.settings import GatewaySettings

Handler = Callable[[ManagementCall], Awaitable[Response]]

#: First parts of the path -> whether that is the RPC base.
BASES = {
    ("runtime", "webhooks", "durabletask"): False,
    ("admin", "extensions", "durabletaskextension"): False,
    ("durabletask",): True,
}

_OPERATIONS = {
    "terminate": managing.terminate,
    "suspend": managing.suspend,
    "resume": managing.resume,
    "rewind": managing.rewind,
    "restart": managing.restart,
}


#: The parameters that make a starter wait.
_WAITING = ("timeout", "retryInterval")


class ManagementApi:
    """The ASGI app of the management API."""

    def __init__(self, raw_hub: RawHub, settings: GatewaySettings, waits: PerKey) -> None:
        self._raw_hub = raw_hub
        self._settings = settings
        self._waits = waits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        params = Params.of(scope)
        found = route(scope["method"], segments(scope), waits=params.has(*_WAITING))
        if found is None:
            await empty(404)(scope, receive, send)
            return
        rpc, handler = found
        request = Request(scope, receive)
        call = ManagementCall(self._raw_hub, self._settings, request, params, rpc, self._waits)
        try:
            call.params.check(declared(handler))
            call.check_hub()
            response = await handler(call)
        except ClientDisconnect:
            raise
        except Exception as error:
            response = response_to(error)
        await response(scope, receive, send)


def route(method: str, parts: list[str], *, waits: bool = True) -> tuple[bool, Handler] | None:
    """(whether it came by the RPC base, what answers it); None where there is nothing.

    Args:
        waits: the request has a time to wait. Without that, `wait` at the end is an instance ID like any other.
    """
    lowered = [part.lower() for part in parts]
    if "" in parts:
        return None
    if lowered[:1] == ["orchestrators"]:
        handler = _starter(method, parts[1:], lowered[1:] if waits else [])
        return (False, handler) if handler else None
    for base, rpc in BASES.items():
        if tuple(lowered[: len(base)]) == base:
            handler = _managed(method, parts[len(base) :], lowered[len(base) :])
            return (rpc, handler) if handler else None
    return None


def _starter(method: str, parts: list[str], lowered: list[str]) -> Handler | None:
    if method != "POST":
        return None
    if len(parts) == 1:
        return partial(starting.start, name=parts[0])
    if len(parts) == 2 and lowered[1:] == ["wait"]:
        return partial(starting.start_and_wait, name=parts[0])
    if len(parts) == 2:
        return partial(starting.start_singleton, name=parts[0], instance_id=parts[1])
    return None


def _managed(method: str, parts: list[str], lowered: list[str]) -> Handler | None:
    match method, lowered[:1], len(parts):
        case "POST", ["orchestrators"], 2 | 3:
            return partial(starting.start, name=parts[1], instance_id=parts[2] if len(parts) == 3 else None)
        case "GET", ["instances"], 1:
            return querying.list_instances
        case "DELETE", ["instances"], 1:
            return querying.purge_by
        case "GET", ["instances"], 2:
            return partial(querying.get_instance, instance_id=parts[1])
        case "DELETE", ["instances"], 2:
            return partial(managing.purge, instance_id=parts[1])
        case "POST", ["instances"], 3 if lowered[2] in _OPERATIONS:
            return partial(_OPERATIONS[lowered[2]], instance_id=parts[1])
        case "POST", ["instances"], 4 if lowered[2] == "raiseevent":
            return partial(managing.raise_event, instance_id=parts[1], event_name=parts[3])
        case "GET" | "POST" | "DELETE", ["entities"], 1 | 2 | 3:
            return querying.entities
    return None
