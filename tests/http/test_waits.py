"""A key may wait for instances with so many requests at once; one more is refused before it does anything, by each API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from durable_ray.http.app import create_app
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.test_api import API, start

WAITS = [
    ("GET", f"{API}/instances/x?wait=60"),
    ("POST", f"{world.HOOKS}/orchestrators/http.approval?timeout=60&pollingInterval=1"),
    ("POST", "/orchestrators/http.approval/wait?timeout=60"),
    ("POST", f"{world.HOOKS}/instances/done/restart?timeout=60&pollingInterval=1"),
]


@pytest.fixture
async def http(hub: TestHub) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(hub.async_client, GatewaySettings(max_waits=2, max_wait=60), world.RING)
    headers = {"x-functions-key": world.KEY}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=world.URL, headers=headers, timeout=90
    ) as http:
        yield http


async def waits(http: httpx.AsyncClient, method: str, path: str) -> None:
    """Take a place, as soon as `refused` leaves one, and keep it."""
    while (await http.request(method, path)).status_code == 429:
        await asyncio.sleep(0.01)


async def refused(http: httpx.AsyncClient) -> httpx.Response:
    """The answer to a request that waits for an instant, once it is refused."""
    async with asyncio.timeout(60):
        while (answer := await http.get(f"{API}/instances/x?wait=0.01")).status_code != 429:
            await asyncio.sleep(0.01)
    return answer


async def test_one_more_is_refused_and_starts_nothing(http: httpx.AsyncClient) -> None:
    await start(http, "approval", "x")
    await start(http, "echo", "done")
    assert (await http.get(f"{API}/instances/done?wait=30")).json()["status"] == "Completed"
    waiting = [asyncio.ensure_future(waits(http, method, path)) for method, path in WAITS[:2]]
    try:
        answer = await refused(http)
        assert (answer.json()["title"], "max_waits" in answer.json()["detail"]) == ("Too many requests that wait", True)
        assert answer.headers["retry-after"]
        async with asyncio.timeout(60):  # One of those that wait starts an instance first.
            while (await http.get(f"{API}/count")).json() != {"count": 3}:
                await asyncio.sleep(0.01)
        for method, path in WAITS:
            answer = await http.request(method, path)
            assert (answer.status_code, "max_waits" in answer.text) == (429, True), path
            assert answer.headers["retry-after"]
        assert (await http.get(f"{API}/count")).json() == {"count": 3}
        # What does not wait is not concerned, nor is another key.
        assert (await http.get(f"{API}/instances/x")).status_code == 200
        other = {"x-functions-key": world.READ_KEY}
        assert (await http.get(f"{API}/instances/x?wait=0.01", headers=other)).status_code == 200
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with asyncio.timeout(60):  # A request that was left gives its place back.
        while (await http.get(f"{API}/instances/x?wait=0.01")).status_code != 200:
            await asyncio.sleep(0.01)
