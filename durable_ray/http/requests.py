"""A request as the routes read it: the path in decoded parts, parameters whose names ignore case, a body with a limit.

The path is split before it is decoded, so an encoded slash stays inside its part: it can make an ID invalid and never
lead to another route.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from durable_ray.orchestrations.payloads import PayloadTooLarge


class Params:
    """Query parameters. What does not parse counts as not given, as in Durable Functions."""

    def __init__(self, pairs: Mapping[str, list[str]]) -> None:
        self._pairs = pairs

    @classmethod
    def of(cls, scope: Scope) -> Params:
        """Those of a request."""
        found: dict[str, list[str]] = {}
        try:
            said = parse_qsl(scope.get("query_string", b"").decode("latin-1"), True, max_num_fields=200)
        except ValueError:
            said = []
        for name, value in said:
            found.setdefault(name.lower(), []).append(value)
        return cls(found)

    def text(self, name: str) -> str | None:
        """The last value of that name."""
        values = self._pairs.get(name.lower())
        return values[-1] if values else None

    def all(self, name: str) -> list[str]:
        """All values of that name, as they are."""
        return list(self._pairs.get(name.lower(), ()))

    def texts(self, name: str) -> list[str]:
        """All values of that name, each split at its commas."""
        return [
            part.strip() for value in self._pairs.get(name.lower(), ()) for part in value.split(",") if part.strip()
        ]

    def flag(self, name: str, default: bool) -> bool:
        """`true` or `false`, in any case."""
        return {"true": True, "false": False}.get((self.text(name) or "").lower(), default)

    def number(self, name: str) -> float | None:
        """A finite number that is not negative."""
        try:
            value = float(self.text(name) or "")
        except ValueError:
            return None
        return value if 0 <= value < 1e9 else None

    def moment(self, name: str) -> datetime | None:
        """An ISO 8601 time."""
        try:
            return datetime.fromisoformat((self.text(name) or "").strip())
        except ValueError:
            return None


def segments(scope: Scope) -> list[str]:
    """The decoded parts of the path, without trailing slashes."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    path = raw.partition(b"?")[0].decode("latin-1").strip("/")
    # What is not UTF-8 becomes U+FFFD, not an error: no instance has such an ID.
    return [unquote(part) for part in path.split("/")] if path else []


async def body_of(request: Request, limit: int) -> bytes:
    """The request's body.

    Raises:
        PayloadTooLarge: it is longer than `limit` bytes; the rest was not read.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    return b"".join(parts)


def is_json(request: Request) -> bool:
    """Whether the body is said to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def too_large(limit: int) -> PayloadTooLarge:
    """The error of a body over the limit."""
    return PayloadTooLarge(
        f"a request body has at most {limit:,} bytes: write the data to a file or an object store and send its address"
    )


def replayed(body: bytes, receive: Receive) -> Receive:
    """A channel that gives a body which was read already, then whatever the client says next."""
    given = False

    async def channel() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return channel


def url_of(scope: Scope) -> str:
    """The URL of this request, as the client wrote it."""
    query = scope.get("query_string", b"").decode("latin-1")
    path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    return f"{origin_of(scope)}{path}{'?' + query if query else ''}"


def origin_of(scope: Scope) -> str:
    """Scheme and host by which the client reached the gateway."""
    return f"{scope.get('scheme', 'http')}://{header(scope, b'host')}"


def header(scope: Scope, name: bytes) -> str:
    """The first header of that (lower-case) name, or ""."""
    return next(iter(headers(scope, name)), "")


def headers(scope: Scope, name: bytes) -> list[str]:
    """All headers of that (lower-case) name."""
    said: list[tuple[bytes, bytes]] = scope.get("headers", [])
    return [value.decode("latin-1") for key, value in said if key.lower() == name]
