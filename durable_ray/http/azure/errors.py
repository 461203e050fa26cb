"""Errors of the hub with the texts and status codes of Durable Functions."""

from __future__ import annotations

import logging

from starlette.responses import Response

from durable_ray.actors.errors import (
    DamagedHistory,
    HubUnavailable,
    InstanceAlreadyExists,
    InstanceFinished,
    InstanceNotFound,
    InvalidState,
)
from durable_ray.actors.store.contract import InvalidToken
from durable_ray.http.answers import azure_error, empty
from durable_ray.http.limits import TooMany
from durable_ray.http.requests import Unreadable
from durable_ray.orchestrations.values.ids import InvalidEventName, InvalidInstanceId, InvalidLabel
from durable_ray.orchestrations.values.payloads import PayloadError, PayloadTooLarge

log = logging.getLogger("durable_ray.http")

BAD_ARGUMENT = "One or more of the arguments submitted is incorrect"
WENT_WRONG = "Something went wrong while processing your request"


class BadRequest(Exception):
    """The request cannot be understood; `exception` is the sentence for the caller's exception."""

    def __init__(self, message: str, exception: str = "") -> None:
        super().__init__(message)
        self.exception = exception


def response_to(error: Exception) -> Response:
    """The answer to a request that met `error`."""
    text = str(error)
    match error:
        case BadRequest():
            return azure_error(400, text, error.exception, "System.ArgumentException")
        case Unreadable():
            return azure_error(400, text, text, "System.ArgumentException")
        case DamagedHistory():
            return azure_error(500, "The history is damaged", text)
        case InstanceNotFound():
            return empty(404)
        case InstanceFinished():
            return empty(410)
        case InstanceAlreadyExists():
            return azure_error(409, text, text)
        case InvalidState():
            return azure_error(500, WENT_WRONG, text)
        case InvalidInstanceId() | InvalidEventName() | InvalidLabel() | InvalidToken():
            return azure_error(400, BAD_ARGUMENT, text, "System.ArgumentException")
        case PayloadTooLarge():
            return azure_error(413, text, text)
        case PayloadError():
            return azure_error(400, "Invalid JSON content", text, "System.ArgumentException")
        case TooMany():
            return azure_error(429, "Too many requests that wait", text)
        case HubUnavailable():
            return azure_error(503, "The hub does not answer", text)
    # The text of any other error may reveal internals.
    log.error("a request failed", exc_info=error)
    return azure_error(500, WENT_WRONG, f"{type(error).__name__}; the gateway's log has the details")
