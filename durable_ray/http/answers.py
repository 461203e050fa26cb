"""Answers in JSON: one writer for all routes, which never opens a pickle and never writes what is not JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json
from starlette.responses import Response

from durable_ray.orchestrations.values.payloads import PICKLED, Payload

JSON = "application/json; charset=utf-8"


def written(value: object) -> bytes:
    """A value as JSON. Infinities and NaN, which Python writes into payloads and JSON lacks, become text."""
    return to_json(value, inf_nan_mode="strings", bytes_mode="base64")


def opened(payload: Payload | None) -> Any:
    """A payload's JSON value; for a pickled one, a note about it: opening it would run its author's code here."""
    if payload is None:
        return None
    if payload.startswith(PICKLED):
        return {
            "$pickled": True,
            "bytes": (len(payload) - len(PICKLED)) * 3 // 4,
            "note": "a Python value that JSON cannot say; read it with durable_ray.Client",
        }
    return from_json(payload)


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = JSON) -> Response:
    """A JSON response."""
    return Response(written(value), status, headers, kind)


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A response without a body."""
    return Response(b"", status, headers)


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as RFC 9457 says it."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return answer(body, status, headers, "application/problem+json")


def azure_error(status: int, message: str, exception: str = "", kind: str = "") -> Response:
    """An error as Durable Functions' extension says it."""
    body = {"Message": message}
    if exception:
        body |= {
            "ExceptionMessage": exception,
            "ExceptionType": kind or "System.InvalidOperationException",
            "StackTrace": "",
        }
    return answer(body, status, {"Retry-After": "5"} if status == 503 else None)
