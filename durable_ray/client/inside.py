"""The client of code that runs inside a hub: activities may manage instances too, their own among them."""

from __future__ import annotations

import threading

from durable_ray.client.client import Client
from durable_ray.orchestrations.authoring.activity_context import ActivityContext

#: Hub -> its client in this process: made once, or put here by a hub that lives in this process itself.
_clients: dict[str, Client] = {}
_lock = threading.Lock()


def client_of(context: ActivityContext) -> Client:
    """The client of the hub that runs this activity. Made once in a process.

    Example:
        >>> def report(context: ActivityContext, text: str) -> None:
        ...     client_of(context).raise_event("reporter", "line", text)
    """
    with _lock:
        client = _clients.get(context.hub)
        if client is None:
            client = _clients[context.hub] = Client(hub=context.hub)
        return client


def management_payload(context: ActivityContext) -> dict[str, str]:
    """The URLs by which the instance that called this activity is managed; see `Client.create_http_management_payload`.

    Raises:
        InvalidState: the hub has no gateway running.

    Example:
        >>> def ask_a_person(context: ActivityContext, question: str) -> None:
        ...     send_mail(question, management_payload(context)["sendEventPostUri"])  # noqa: F821
    """
    return client_of(context).create_http_management_payload(context.instance_id)


def enter(hub: str, client: Client) -> None:
    """A hub of that name lives in this process: its activities use this client."""
    with _lock:
        _clients[hub] = client


def leave(hub: str, client: Client) -> None:
    """It ends."""
    with _lock:
        if _clients.get(hub) is client:
            del _clients[hub]
