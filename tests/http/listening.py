"""The real app on a real socket: a gateway on a free loopback port, served from a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from durable_ray.client.client import AsyncClient
from durable_ray.http.keys import Keyring
from durable_ray.http.serving import Gateway
from durable_ray.http.settings import GatewaySettings


@contextmanager
def listening(client: AsyncClient, settings: GatewaySettings, keyring: Keyring | None = None) -> Iterator[str]:
    """The base URL of a gateway that listens for the time of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="gateway", daemon=True)
    thread.start()
    gateway = Gateway(client, settings, keyring)
    try:
        yield asyncio.run_coroutine_threadsafe(gateway.start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(gateway.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
