"""What `serve` does: the gateway in this process, or as an actor of the cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from durable_ray.actors.errors import HubUnavailable
from durable_ray.cli.hub.over_ray import HERE, no_ray_here, ray_address
from durable_ray.cli.hub.quiet import join_quietly
from durable_ray.client.client import AsyncClient
from durable_ray.config import ClientSettings
from durable_ray.http.actor import serve_detached
from durable_ray.http.keys import keys_path
from durable_ray.http.serving import Gateway, serve
from durable_ray.http.settings import GatewaySettings

#: Called with the gateway's URL and where its keys are; never with a key.
Ready = Callable[[str, str], None]


def serve_here(settings: ClientSettings, given: Mapping[str, Any], ready: Ready) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises DurableRayError if it cannot listen."""
    client, wanted = _client(settings), GatewaySettings(**given)

    def listening(gateway: Gateway) -> None:
        ready(gateway.url, _keys(client, wanted))

    serve(client, wanted, listening)


def serve_in_cluster(settings: ClientSettings, given: Mapping[str, Any]) -> tuple[str, str]:
    """Have an actor serve; (its URL, where its keys are). One that serves already is left as it is."""
    client, wanted = _client(settings), GatewaySettings(**given)
    return serve_detached(client._link, wanted), _keys(client, wanted)


def _client(settings: ClientSettings) -> AsyncClient:
    address = ray_address(settings)
    try:
        join_quietly(address)
        return AsyncClient(address, hub=settings.hub, store=settings.store)
    except HubUnavailable as error:
        if address != HERE:
            raise
        raise no_ray_here() from error


def _keys(client: AsyncClient, wanted: GatewaySettings) -> str:
    if wanted.key or wanted.read_only_key:
        return "the environment (DURABLE_RAY_HTTP_KEY, DURABLE_RAY_HTTP_READ_ONLY_KEY)"
    return str(wanted.keys_file or keys_path(client.hub, client._hello.store) or "memory")
