"""A gateway over a hub in this process, spoken to without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from durable_ray.http.app import create_app
from durable_ray.testing import TestHub
from tests.http import world


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """A hub whose time stands still unless a test moves it."""
    with TestHub(auto_advance=False) as hub:
        yield hub


@pytest.fixture
async def http(hub: TestHub) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway, with the full key."""
    app = create_app(hub.async_client, world.SETTINGS, world.RING)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url=world.URL, headers={"x-functions-key": world.KEY}
    ) as client:
        yield client
