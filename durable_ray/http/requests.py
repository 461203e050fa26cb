"""A request as the routes read it: the path in decoded parts, parameters whose names ignore case, a body with a limit.

The path is split before it is decoded, so an encoded slash stays inside its part: it can make an ID invalid and never
lead to another route.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from pydantic_core import from_json
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from durable_ray.actors.instances.status import RuntimeStatus
from durable_ray.client.operations.bounds import read_moment, read_status, shown
from durable_ray.orchestrations.values.payloads import PayloadTooLarge, from_json_text

T = TypeVar("T")
D = TypeVar("D")

#: Numbers are below this.
_LARGEST = 1e9


class Unreadable(ValueError):
    """A query parameter that cannot be understood. The text names it, and the right form."""


class Params:
    """Query parameters. One that cannot be read raises Unreadable: it never counts as left out."""

    def __init__(self, pairs: Mapping[str, list[str]], trouble: str = "") -> None:
        self._pairs = pairs
        self._trouble = trouble

    @classmethod
    def of(cls, scope: Scope) -> Params:
        """Those of a request."""
        found: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"), True, max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            return cls({}, f"a query has at most {_MOST_PARAMETERS} parameters")
        for name, value in pairs:
            found.setdefault(name.lower(), []).append(value)
        return cls(found)

    def check(self, declared: Mapping[str, Kind]) -> None:
        """Read every parameter that a route takes, before anything is done for it.

        Raises:
            Unreadable: one of them cannot be read, or the query has one that the route does not take.
        """
        if self._trouble:
            raise Unreadable(self._trouble)
        known = {name.lower(): name for name in declared}
        for name in self._pairs:
            if name not in known:
                listed = ", ".join(sorted(declared, key=str.lower))
                raise Unreadable(f"there is no parameter {shown(name)} here; there are {listed}")
        for lower, name in known.items():
            if lower in self._pairs:
                declared[name](self, name)

    def has(self, *names: str) -> bool:
        """Whether one of these is given, with whatever value."""
        return any(name.lower() in self._pairs for name in names)

    def text(self, name: str) -> str | None:
        """The value of that name."""
        values = self._pairs.get(name.lower())
        if values and len(set(values)) > 1:
            raise Unreadable(f"{name} is given {len(values)} times, and not the same each time")
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """All values of that name, as they are."""
        return list(self._pairs.get(name.lower(), ()))

    def statuses(self, name: str) -> list[RuntimeStatus]:
        """Statuses, in any case: repeated, or separated by commas."""
        parts = [part.strip() for value in self.all(name) for part in value.split(",")]
        return [_read(name, part, read_status) for part in parts]

    def flag(self, name: str, default: bool = False) -> bool:
        """`true` or `false`, in any case."""
        return self._read(name, _flag, default)

    def number(self, name: str) -> float | None:
        """A finite number that is not negative."""
        return self._read(name, _number, None)

    def count(self, name: str) -> int | None:
        """A whole number, at least 1."""
        return self._read(name, _count, None)

    def moment(self, name: str) -> datetime | None:
        """An ISO 8601 time."""
        return self._read(name, read_moment, None)

    def _read(self, name: str, read: Callable[[str], T], default: D) -> T | D:
        value = self.text(name)
        return default if value is None else _read(name, value, read)


#: How a route reads a parameter: one of the methods of `Params`.
Kind = Callable[[Params, str], object]

_MOST_PARAMETERS = 200
_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


def _read(name: str, value: str, read: Callable[[str], T]) -> T:
    try:
        if not value:
            raise ValueError("it is empty: leave it out, or give it a value")
        return read(value)
    except ValueError as error:
        raise Unreadable(f"{name}: {error}") from error


def _flag(value: str) -> bool:
    found = {"true": True, "false": False}.get(value.lower())
    if found is None:
        raise ValueError(f"{shown(value)} is neither true nor false")
    return found


def _number(value: str) -> float:
    if not _NUMBER.fullmatch(value) or float(value) >= _LARGEST:
        raise ValueError(f"{shown(value)} is no number of at least 0: write 30 or 0.5")
    return float(value)


def _count(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or not 1 <= float(value) < _LARGEST:
        raise ValueError(f"{shown(value)} is no whole number of at least 1")
    return int(value)


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


def value_from_outside(body: bytes, *, twice: bool = False) -> Any:
    """The JSON value of a request body; None for an empty one.

    Args:
        twice: the sender (Azure's Python client) writes JSON, and then that text as JSON once more.

    Raises:
        PayloadNotJson, PayloadTooLarge.
    """
    if not body.strip():
        return None
    value = from_json(from_json_text(body))
    if twice and isinstance(value, str):
        try:
            return from_json(from_json_text(value))
        except ValueError:
            return value
    return value


def is_json(request: Request) -> bool:
    """Whether the content type is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def too_large(limit: int) -> PayloadTooLarge:
    """The error of a body over the limit."""
    return PayloadTooLarge(
        f"a request body has at most {limit:,} bytes: write the data to a file or an object store and send its address"
    )


def replayed(body: bytes, receive: Receive) -> Receive:
    """A channel that gives a body which was read already, then whatever the client sends next."""
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
    pairs: list[tuple[bytes, bytes]] = scope.get("headers", [])
    return [value.decode("latin-1") for key, value in pairs if key.lower() == name]
