"""The JSON shapes of Durable Functions' HTTP API: an instance's status, and the URLs by which it is managed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from starlette.types import Scope

from durable_ray.actors.instances.status import failure_of, moment
from durable_ray.actors.store.records import InstanceRow
from durable_ray.actors.wire.management_urls import PREFIX, GatewayAddress, management_payload
from durable_ray.client.json_views import opened
from durable_ray.http.keys import OPEN_RPC, Key
from durable_ray.http.requests import origin_of
from durable_ray.orchestrations.values.azure_texts import orchestrator_text
from durable_ray.orchestrations.values.payloads import from_json_text

#: Where Durable Functions' out-of-process clients look for the API.
RPC_PREFIX = "/durabletask"


def stamp(when: datetime) -> str:
    """A time as in a status: whole seconds."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def status_object(
    row: InstanceRow, *, show_input: bool = True, history: Sequence[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """An instance in the form of `GET instances/{id}`."""
    shape: dict[str, Any] = {
        "name": row.name,
        "instanceId": row.instance_id,
        "runtimeStatus": row.status,
        "input": opened(row.input) if show_input else None,
        "customStatus": opened(row.custom_status),
        "output": output_of(row),
        "createdTime": stamp(moment(row.created_at)),
        "lastUpdatedTime": stamp(moment(row.updated_at)),
    }
    if history is not None:
        # The extension sends `historyEvents`; its Python client reads `history`.
        shape |= {"historyEvents": history, "history": history}
    return shape


def output_of(row: InstanceRow) -> Any:
    """The result; of a failed instance the failure's text, of a terminated one the reason."""
    if row.status == "Failed":
        failure = failure_of(row.failure)
        return orchestrator_text(row.name, failure) if failure else "no details were kept"
    value = opened(row.output)
    if row.status == "Terminated" and isinstance(value, str):
        try:
            return opened(from_json_text(value))
        except ValueError:
            return value
    return value


def check_status(
    scope: Scope, hub: str, instance_id: str, *, failure_is_500: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """Body and headers of the 202 that a start answers: where its instance is managed.

    The URLs carry the key that the caller showed, and never another: who came with the cluster's token, which no URL should
    carry, sends it again; who was let in without a key gets URLs below the base that lets him in.
    """
    key: Key | None = scope.get("state", {}).get("key")
    secret = "" if key is None or key.from_ray else key.secret
    prefix = RPC_PREFIX if key is OPEN_RPC else PREFIX
    urls = management_payload(GatewayAddress(origin_of(scope), secret, hub), instance_id, prefix)
    if failure_is_500:
        urls["statusQueryGetUri"] += "&returnInternalServerErrorOnFailure=true"
    return urls, {"Location": urls["statusQueryGetUri"], "Retry-After": "10"}
