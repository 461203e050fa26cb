"""Authentication and origin checks: every request passes here first, whatever route it is for.

Three questions, in this order, because the first two protect somebody who *has* a key from a page that would use it:
1. Was it meant for this server? The `Host` must be an address or a name that is ours; else a page of another name that
   was rebound to this address (DNS rebinding) could talk to us as if it were our own.
2. Did a page of another site make the browser send it? `Origin` and `Sec-Fetch-Site` show that; it is refused.
3. Whose key does it carry? `code=`, `x-functions-key`, `Authorization: Bearer`, or the password of Basic (which is how
   a URL carries a key: `http://key:SECRET@host/`); for the page, a cookie that a key has signed.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from durable_ray.actors.clock import monotonic
from durable_ray.http.answers import azure_error, problem
from durable_ray.http.keys import OPEN_RPC, PROBE, Access, Keyring
from durable_ray.http.monitoring.health import HEALTH_PATHS, METRICS_PATH
from durable_ray.http.requests import Params, header, headers, segments
from durable_ray.http.settings import GatewaySettings
from durable_ray.page.door import VISITOR, Sessions, is_navigation, is_open, is_page, turned_away

#: One line a request: method, path without its query (which may carry a key), status, milliseconds.
log = logging.getLogger("durable_ray.http.access")

_READING = frozenset({"GET", "HEAD"})
#: What the log shows where the client disconnected before its request was complete.
_GONE = 499
_WELCOME = {"www-authenticate": "Bearer"}


#: What a page of an allowed origin may send, and may read of an answer beside its body.
_CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
_CORS_SENT = ("authorization", "content-type", "last-event-id", "x-functions-key", "x-ms-continuation-token")
_CORS_READ = ("Location", "Retry-After", "x-ms-continuation-token")


def guarded(app: ASGIApp, settings: GatewaySettings, keyring: Keyring) -> ASGIApp:
    """An app behind the guard and, if pages of other origins may call it, behind the CORS headers for browsers.

    CORS stands outside: a preflight carries no key, and a page is to read its refusals, too.
    """
    guard = Guard(app, settings, keyring)
    if not settings.allowed_origins:
        return guard
    return CORSMiddleware(
        guard,
        allow_origins=settings.allowed_origins,
        allow_methods=_CORS_METHODS,
        allow_headers=_CORS_SENT,
        # A public page that calls a gateway in a private network; only a page of an allowed origin is answered so.
        allow_private_network=True,
        expose_headers=_CORS_READ,
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request does not pass."""

    status: int
    title: str
    detail: str


class Guard:
    """The ASGI layer that lets a request pass, with its key at `scope["state"]["key"]`, or refuses it."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings, keyring: Keyring) -> None:
        self._app = app
        self._settings = settings
        self._keyring = keyring
        self._sessions = Sessions(keyring)
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in settings.allowed_hosts)}
        self._origins = frozenset(settings.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        began, status = monotonic(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _hardened(message.get("headers", ()))
            await send(message)

        refusal = self._examine(scope)
        try:
            if refusal is None:
                await self._app(scope, receive, noted)
            else:
                await self._refuse(refusal, scope)(scope, receive, noted)
        except ClientDisconnect:
            status = _GONE
        finally:
            path = _printable(scope["path"])
            log.info("%s %s %s %.1f ms", scope["method"], path, status, (monotonic() - began) * 1000)

    def _examine(self, scope: Scope) -> Refusal | None:
        host = header(scope, b"host")
        if not self._is_ours(host):
            return Refusal(403, "Unknown host", "this gateway does not answer under that name: see allowed_hosts")
        if not self._is_same_site(scope, host):
            return Refusal(
                403, "Cross-site request", "pages of other sites may not call this gateway: see allowed_origins"
            )
        presented = presented_keys(scope)
        # Each must be good: a wrong key beside a right one is somebody trying keys.
        found = [self._keyring.find(key) if key else None for key in presented]
        key = min((k for k in found if k), key=lambda k: k.access, default=None) if all(found) else None
        if not presented and self._may_go_without(scope):
            key = OPEN_RPC
        for_anybody = is_page(scope) and is_open(scope)
        if not presented and scope["path"] in HEALTH_PATHS:
            key = PROBE
        elif not presented and is_page(scope):
            key = self._sessions.of(scope) or (VISITOR if for_anybody else None)
        if key is None:
            return Refusal(401, "No valid key", "send a key: ?code=…, x-functions-key: …, or Authorization: Bearer …")
        if key.access is Access.METRICS and scope["path"] != METRICS_PATH:
            return Refusal(403, "Key for the metrics", f"this key opens {METRICS_PATH} only")
        if key.access < Access.FULL and scope["method"] not in _READING and not for_anybody:
            return Refusal(403, "Read-only key", "this key may only read")
        scope.setdefault("state", {})["key"] = key
        return None

    def _is_ours(self, host: str) -> bool:
        name = _hostname(host)
        if name in self._names:
            return True
        try:
            # A name can be rebound to our address; an address cannot.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_same_site(self, scope: Scope, host: str) -> bool:
        origin = header(scope, b"origin").rstrip("/").lower()
        if origin:
            return origin in self._origins or origin.partition("://")[2] == host.lower()
        if is_page(scope) and is_navigation(scope):
            return True
        return header(scope, b"sec-fetch-site").lower() in ("", "same-origin", "none")

    def _may_go_without(self, scope: Scope) -> bool:
        parts = segments(scope)
        peer = (scope.get("client") or ("",))[0]
        return self._settings.open_rpc and parts[:1] == ["durabletask"] and is_loopback(peer)

    def _refuse(self, refusal: Refusal, scope: Scope) -> ASGIApp:
        headers = _WELCOME if refusal.status == 401 else None
        if refusal.status == 401 and is_page(scope) and (login := turned_away(scope)) is not None:
            return login
        if segments(scope)[:1] == ["api"]:
            return problem(refusal.status, refusal.title, refusal.detail, headers)
        response = azure_error(refusal.status, f"{refusal.title}: {refusal.detail}")
        response.headers.update(headers or {})
        return response


#: Answers are data, about to be seen by somebody who holds a key: they must not be stored, sniffed, framed or referred.
_HARDENING = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


def _hardened(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = list(headers)
    names = {name.lower() for name, _ in given}
    return given + [(name, value) for name, value in _HARDENING if name not in names]


def presented_keys(scope: Scope) -> list[str]:
    """The keys a request carries, in whatever places; "" for a place that holds none that could be read."""
    keys = Params.of(scope).all("code") + headers(scope, b"x-functions-key")
    for given in headers(scope, b"authorization"):
        scheme, _, value = given.partition(" ")
        if scheme.lower() == "basic":
            try:
                keys.append(base64.b64decode(value.strip(), validate=True).decode().partition(":")[2])
            except (binascii.Error, UnicodeDecodeError):
                keys.append("")
        else:
            keys.append(value.strip() if scheme.lower() == "bearer" else "")
    return keys


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _hostname(host: str) -> str:
    if host.startswith("["):
        name, bracket, _ = host[1:].partition("]")
        return name.lower() if bracket else ""
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()


def _printable(path: str) -> str:
    """A path that cannot forge a line of the log."""
    return path.encode("unicode_escape", "replace").decode("ascii")[:300]
