"""The gateway as one ASGI app: the guard before everything, `/api/v1`, the page, and the management API for all the rest."""

from __future__ import annotations

import re

from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from durable_ray.client.client import AsyncClient
from durable_ray.client.raw_hub import RawHub
from durable_ray.http.api.app import api_app
from durable_ray.http.api.services import Services
from durable_ray.http.azure.routes import ManagementApi
from durable_ray.http.keys import Access, Key, Keyring, given_keyring, kept_keyring, keys_path, new_keyring, ray_key
from durable_ray.http.limits import stream_limit, wait_limit
from durable_ray.http.monitoring.health import METRICS_PATH, Health
from durable_ray.http.monitoring.metrics import Scrapes
from durable_ray.http.security import Guard, guarded
from durable_ray.http.settings import GatewaySettings
from durable_ray.http.watch import Watch
from durable_ray.page.app import page_app
from durable_ray.page.door import is_page


def create_app(client: AsyncClient, settings: GatewaySettings | None = None, keyring: Keyring | None = None) -> ASGIApp:
    """The gateway of the hub that `client` is connected to.

    Args:
        settings: see `GatewaySettings`.
        keyring: whose keys pass; by default those kept beside the hub's store, made at the first start.

    Returns:
        An ASGI app, for uvicorn, for Ray Serve, or to be mounted in an application of one's own at "/".

    Example:
        >>> app = create_app(AsyncClient(), GatewaySettings())  # doctest: +SKIP
        >>> uvicorn.run(app, port=7071)  # doctest: +SKIP
    """
    settings = settings or GatewaySettings()
    ring = keyring or keyring_of(client, settings)
    raw_hub = RawHub(client)
    watch, waits = Watch(raw_hub, settings.stream_interval, settings.stream_heartbeat), wait_limit(settings.max_waits)
    services = Services(raw_hub, settings, watch, stream_limit(settings.max_streams), waits)
    api = Mount("/api/v1", app=api_app(services))
    # A path may have a line break in it, which is to get its answer as any other. For the same reason no mount at "/" follows.
    api.path_regex = re.compile(api.path_regex.pattern, re.DOTALL)
    health = Health(raw_hub)
    probes = [Route("/healthz", health.alive), Route("/readyz", health.ready)]
    numbers = Route(METRICS_PATH, Scrapes(raw_hub).metrics)
    routes = [*probes, numbers, api]
    management = ManagementApi(raw_hub, settings, waits)
    page = page_app(Guard(Router([api]), settings, ring), ring, settings)

    async def others(scope: Scope, receive: Receive, send: Send) -> None:
        await (page if is_page(scope) else management)(scope, receive, send)

    router = Router(routes, redirect_slashes=False, default=others)
    return guarded(router, settings, ring)


def keyring_of(client: AsyncClient, settings: GatewaySettings) -> Keyring:
    """The keys of a hub's gateway: those it was given, else those it keeps; and the cluster's token."""
    metrics = Key("metrics", Access.METRICS, settings.metrics_key or "")
    if settings.key or settings.read_only_key:
        return given_keyring(settings.key, settings.read_only_key).and_also(metrics, ray_key())
    path = settings.keys_file or keys_path(client.hub, client._hello.store)
    return (kept_keyring(path) if path else new_keyring()).and_also(metrics, ray_key())
