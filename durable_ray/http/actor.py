"""The gateway as a named detached actor, `gateway` in the hub's system namespace: it outlives the process that created it.

A detached gateway is restarted by Ray when it dies, and announces itself again.
"""

from __future__ import annotations

import asyncio
import os

from durable_ray.actors.activities import sigterm
from durable_ray.actors.cluster.connecting import HubLink
from durable_ray.actors.cluster.ray_actors.detached_service import DetachedService, ServiceActor
from durable_ray.client.client import AsyncClient
from durable_ray.http.serving import Gateway, allow_many_connections
from durable_ray.http.settings import GatewaySettings

GATEWAY = "gateway"


class GatewayActor(ServiceActor):
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
        await self.exit()


def serve_detached(link: HubLink, settings: GatewaySettings | None = None) -> str:
    """Make the hub's gateway an actor of the cluster, if it is not there yet; answers its base URL.

    It runs where the store is (with SQLite: on the head node), because there its keys are kept.

    Raises:
        DurableRayError: it cannot listen; nothing is left behind.
    """
    wanted = (settings or GatewaySettings()).model_dump_json()
    url, _ = _service(link).start(GatewayActor, link.info.hub, link.info.store, wanted, resources=link.info.pin)
    return str(url)


def detached_url(link: HubLink) -> str | None:
    """The base URL of the detached gateway; None if there is none."""
    answer = _service(link).hello()
    return None if answer is None else str(answer[0])


def stop_detached(link: HubLink) -> bool:
    """Stop the detached gateway; whether there was one."""
    return _service(link).stop()


def _service(link: HubLink) -> DetachedService:
    return DetachedService(GATEWAY, link.info.hub)
