"""The gateway as a Ray Serve application: for clusters whose HTTP goes through Serve already."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp

from durable_ray.actors.cluster.ray_actors.ray_serve import Application, off_the_loop, serve_asgi
from durable_ray.client.client import AsyncClient
from durable_ray.http.app import create_app
from durable_ray.http.settings import GatewaySettings


def serve_application(
    hub: str | None = None, store: str | None = None, settings: GatewaySettings | None = None, **options: Any
) -> Application:
    """The gateway of a hub, for `serve.run`. Mount it at "/": its routes are Durable Functions'.

    Args:
        hub, store: as of `AsyncClient`.
        settings: all but host and port, which are Serve's. With PostgreSQL and several nodes set `keys_file` to a path
            that every replica's node has, with the same keys.
        options: of the deployment: `num_replicas`, `ray_actor_options`, …

    Example:
        >>> serve.run(serve_application(hub="durable_ray"), route_prefix="/")  # doctest: +SKIP
    """
    wanted = (settings or GatewaySettings()).model_dump_json()

    def build() -> ASGIApp:
        client = off_the_loop(lambda: AsyncClient(hub=hub, store=store))
        return create_app(client, GatewaySettings.model_validate_json(wanted))

    return serve_asgi(build, {"name": "durable_ray_gateway", "max_ongoing_requests": 10_000, **options})
