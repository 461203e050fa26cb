"""The gateway as a Ray Serve application: for clusters whose HTTP goes through Serve already.

One of the few files that import Ray. Serve is Ray's own extra: ``pip install "ray[serve]"``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve
from starlette.types import ASGIApp

from durable_ray.client.client import AsyncClient
from durable_ray.http.app import create_app
from durable_ray.http.settings import GatewaySettings


def serve_application(
    hub: str | None = None, store: str | None = None, settings: GatewaySettings | None = None, **options: Any
) -> serve.Application:
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
        # Connecting blocks; a replica is built on an event loop, where nothing of Ray may block.
        with ThreadPoolExecutor(1) as thread:
            client = thread.submit(AsyncClient, hub=hub, store=store).result()
        return create_app(client, GatewaySettings.model_validate_json(wanted))

    given = {"name": "durable_ray_gateway", "max_ongoing_requests": 10_000, **options}
    ingress: Any = serve.ingress(build)()
    application: serve.Application = serve.deployment(**given)(ingress).bind()
    return application
