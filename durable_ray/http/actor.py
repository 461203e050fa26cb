"""The gateway as a named detached actor, `gateway` in the hub's system namespace: it outlives whoever asked for it.

One of the few files that import Ray. A detached gateway is restarted by Ray when it dies, and announces itself again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import ray

from durable_ray.actors.activities import sigterm
from durable_ray.actors.cluster.connecting import HubLink
from durable_ray.actors.cluster.handles import system_namespace
from durable_ray.client.client import AsyncClient
from durable_ray.http.serving import Gateway, allow_many_connections
from durable_ray.http.settings import GatewaySettings

GATEWAY = "gateway"
_SECONDS = 90.0


class GatewayActor:
    """Serves the gateway on the actor's event loop."""

    def __init__(self, hub: str, store: str, settings: str) -> None:
        sigterm.end_at_once()
        self._hub = hub
        self._store = store
        self._settings = GatewaySettings.model_validate_json(settings)
        self._gateway: Gateway | None = None
        allow_many_connections()
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> str:
        # Connecting blocks, and nothing that blocks belongs on an actor's loop.
        client = await asyncio.to_thread(AsyncClient, hub=self._hub, store=self._store)
        self._gateway = Gateway(client, self._settings)
        return await self._gateway.start()

    async def hello(self) -> tuple[str, int]:
        """(base URL, process ID) once it listens. Raises what kept it from listening."""
        return await self._starting, os.getpid()

    async def stop(self) -> None:
        """Let requests end, stop listening, end this process for good."""
        if self._gateway is not None:
            await self._gateway.stop()
        ray.actor.exit_actor()


def serve_detached(link: HubLink, settings: GatewaySettings | None = None) -> str:
    """Make the hub's gateway an actor of the cluster, if it is not there yet; answers its base URL.

    It runs where the store is (with SQLite: on the head node), because there its keys are kept.

    Raises:
        DurableRayError: it cannot listen; nothing is left behind.
    """
    wanted = settings or GatewaySettings()
    options: dict[str, Any] = {
        "name": GATEWAY,
        "namespace": system_namespace(link.info.hub),
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "max_concurrency": 10_000,
        "num_cpus": 0,
        "resources": link.info.pin,
        "enable_task_events": False,
    }
    actor_class: Any = ray.remote(GatewayActor)
    actor = actor_class.options(**options).remote(link.info.hub, link.info.store, wanted.model_dump_json())
    try:
        url, _ = ray.get(actor.hello.remote(), timeout=_SECONDS)
    except ray.exceptions.RayTaskError as error:
        ray.kill(actor)
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    return str(url)


def detached_url(link: HubLink) -> str | None:
    """The base URL of the detached gateway; None if there is none."""
    try:
        actor = ray.get_actor(GATEWAY, namespace=system_namespace(link.info.hub))
    except ValueError:
        return None
    url, _ = ray.get(actor.hello.remote(), timeout=_SECONDS)
    return str(url)


def stop_detached(link: HubLink) -> bool:
    """Stop the detached gateway; whether there was one."""
    try:
        actor = ray.get_actor(GATEWAY, namespace=system_namespace(link.info.hub))
    except ValueError:
        return False
    with contextlib.suppress(ray.exceptions.RayActorError):  # It left, as it was asked to.
        ray.get(actor.stop.remote(), timeout=_SECONDS)
    return True
