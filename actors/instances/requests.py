"""Requests to a running instance as events: validated and encoded, for clients and for callers of an instance's actor."""

from __future__ import annotations

import hashlib

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.values.ids import validate_event_name


def raised(event_name: str, data: object, message_id: str, when_not_awaited: str = "buffer") -> ev.EventRaised:
    """An external event. Raises InvalidEventName, a ValueError."""
    validate_event_name(event_name)
    if when_not_awaited not in ("buffer", "discard"):
        raise ValueError(f"when_not_awaited is 'buffer' or 'discard', not {when_not_awaited!r}")
    payload = PYTHON_PAYLOADS.encode(data)
    return ev.EventRaised(event_name, payload, message_id, discard=when_not_awaited == "discard")


def once_key(event_name: str, idempotency_key: str) -> str:
    """The key of the receipt of an event with an idempotency key: case does not matter in its name.

    A key may be of any length, and an index of PostgreSQL holds less.
    """
    key: object = idempotency_key
    if not isinstance(key, str):
        raise TypeError(f"idempotency_key is a text, not {idempotency_key!r}")
    return hashlib.sha256(f"{event_name.casefold()}/{key}".encode(errors="surrogatepass")).hexdigest()


def why(reason: object) -> str | None:
    """Validate the reason of a suspension, a resumption or a rewind. Raises TypeError if it is not a text."""
    if reason is None or isinstance(reason, str):
        return reason
    raise TypeError(f"a reason is a text, not {reason!r}; write str({reason!r})")


def termination(reason: object, recursive: bool, cancel_activities: bool) -> ev.TerminateRequested:
    """A request to terminate."""
    payload = None if reason is None else PYTHON_PAYLOADS.encode(reason)
    return ev.TerminateRequested(payload, recursive, cancel_activities)
