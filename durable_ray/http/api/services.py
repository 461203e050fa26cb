"""What the routes of `/api/v1` work with, found in the app they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from durable_ray.client.raw_hub import RawHub
from durable_ray.http.limits import PerKey
from durable_ray.http.settings import GatewaySettings
from durable_ray.http.watch import Watch


@dataclass(frozen=True, slots=True)
class Services:
    """The hub, how the gateway is set, what follows changes, and how much each key may have under way."""

    raw_hub: RawHub
    settings: GatewaySettings
    watch: Watch
    streams: PerKey
    waits: PerKey


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(_services)]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route answers, for the OpenAPI document."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses}


_DESCRIPTIONS = {
    400: "A parameter cannot be understood, the body is not JSON, or no schedule can be like this",
    404: "There is nothing of that name",
    409: "Not in this state",
    413: "Too large",
    415: "Only JSON is taken",
    429: "Too many streams, or requests that wait, of this key",
    422: "The body is not what the schema says",
}
