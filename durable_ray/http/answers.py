"""Answers in JSON: one writer for all routes, which never opens a pickle and never writes what is not JSON."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import to_json
from starlette.responses import Response

JSON = "application/json; charset=utf-8"


def written(value: object) -> bytes:
    """A value as JSON. Infinities and NaN, which Python writes into payloads and JSON lacks, become text."""
    return to_json(value, inf_nan_mode="strings", bytes_mode="base64")


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = JSON) -> Response:
    """A JSON response."""
    return Response(written(value), status, headers, kind)


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A response without a body."""
    return Response(b"", status, headers)


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as RFC 9457 problem details."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return answer(body, status, headers, "application/problem+json")


def azure_error(status: int, message: str, exception: str = "", kind: str = "") -> Response:
    """An error in the form of Durable Functions' extension."""
    body = {"Message": message}
    if exception:
        body |= {
            "ExceptionMessage": exception,
            "ExceptionType": kind or "System.InvalidOperationException",
            "StackTrace": "",
        }
    return answer(body, status, {"Retry-After": "5"} if status in (429, 503) else None)
