"""Server-sent events hear what happens although a query fails or a clock is wrong, and do not say "alive" while they cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from durable_ray.actors.errors import HubUnavailable
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.listening import listening
from tests.http.test_api import API, start, told

SETTINGS = GatewaySettings(port=0, grace=1, stream_interval=0.05, stream_heartbeat=0.2)


@pytest.fixture(params=[2001, 2030, 2600])
def hub(request: pytest.FixtureRequest) -> Iterator[TestHub]:
    """A hub whose clock is far behind that of the gateway, or ahead of it."""
    with TestHub(auto_advance=False, start=datetime(request.param, 1, 1, tzinfo=UTC)) as hub:
        yield hub


@asynccontextmanager
async def gateway(hub: TestHub) -> AsyncIterator[httpx.AsyncClient]:
    with listening(hub.async_client, SETTINGS, world.RING) as url:
        async with httpx.AsyncClient(base_url=url, headers={"x-functions-key": world.KEY}, timeout=30) as http:
            yield http


async def until(stream: AsyncIterator[Any], wanted: Callable[[str, Any], bool]) -> list[tuple[str, Any]]:
    """What a stream says until something that is wanted."""
    said = []
    async with asyncio.timeout(30):
        async for kind, _, data in stream:
            said.append((kind, data))
            if wanted(kind, data):
                return said
    raise AssertionError(f"the stream ended: {said}")


def stands(instance_id: str, *statuses: str) -> Callable[[str, Any], bool]:
    return lambda kind, data: kind == "status" and data["instance_id"] == instance_id and data["status"] in statuses


def following(kind: str, data: Any) -> bool:
    return kind == "comment" and "following" in data


def alive(kind: str, data: Any) -> bool:
    return kind == "comment" and "alive" in data


def deaf(kind: str, data: Any) -> bool:
    return kind == "comment" and "does not answer" in data


def redate(hub: TestHub, instance_id: str, at: int) -> None:
    """Let a row say another time, as a host whose clock is wrong writes it."""
    database = hub.store.database  # type: ignore[attr-defined]
    ended = "completed_at IS NOT NULL"
    database.write(
        lambda session: session.plain(
            f"UPDATE instances SET updated_at = {at}, completed_at = CASE WHEN {ended} THEN {at} END "
            f"WHERE instance_id = '{instance_id}'"
        )
    )


async def test_an_instance_is_followed_whatever_the_clocks_say(hub: TestHub) -> None:
    async with gateway(hub) as http:
        await start(http, "approval", "x")
        stream = told(http, f"{API}/instances/x/stream")
        await until(stream, stands("x", "Running"))
        await until(stream, alive)
        await http.post(f"{API}/instances/x/suspend")
        await until(stream, stands("x", "Suspended"))
        redate(hub, "x", 1)
        await http.post(f"{API}/instances/x/resume")
        await until(stream, stands("x", "Running"))
        await http.post(f"{API}/instances/x/events/Approval", json=1)
        await until(stream, lambda kind, _: kind == "end")


async def test_all_are_heard_whatever_the_clocks_say(hub: TestHub) -> None:
    async with gateway(hub) as http:
        await start(http, "approval", "before")
        stream = told(http, f"{API}/stream")
        await until(stream, following)
        await start(http, "approval", "ahead")
        await until(stream, stands("ahead", "Running"))
        redate(hub, "ahead", 2**60)
        await http.post(f"{API}/instances/ahead/suspend")
        await until(stream, stands("ahead", "Suspended"))
        await start(http, "approval", "after")
        await until(stream, stands("after", "Running"))
        for name in ("before", "after"):
            await http.post(f"{API}/instances/{name}/events/Approval", json=1)
            await until(stream, stands(name, "Completed"))
        # Nothing is told twice, though the one that is dated ahead is among the newest for good.
        quiet = await until(stream, alive)
        assert {kind for kind, _ in quiet} == {"comment"}


@pytest.mark.parametrize("path", ["/stream", "/instances/x/stream"])
async def test_a_stream_recovers_and_does_not_say_alive_while_it_is_deaf(path: str) -> None:
    with TestHub(auto_advance=False) as hub:
        async with gateway(hub) as http:
            await start(http, "approval", "x")
            stream = told(http, API + path)
            await until(stream, alive)
            reach = hub.async_client._router
            ask, failing = reach.registry, True

            def registry(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
                if failing and method.__name__ in ("query", "rows", "row", "live_standings", "ended_standings"):
                    raise HubUnavailable("nobody answers")
                return ask(method, *args, **kwargs)

            reach.registry = registry  # type: ignore[method-assign, assignment]
            await until(stream, deaf)
            await hub.async_client.suspend("x")
            said = await until(stream, deaf)
            said += await until(stream, deaf)
            assert not any(alive(kind, data) for kind, data in said)
            failing = False
            await until(stream, stands("x", "Suspended"))
            await until(stream, alive)


async def test_a_stream_of_one_that_is_purged_ends() -> None:
    with TestHub(auto_advance=False) as hub:
        async with gateway(hub) as http:
            await start(http, "approval", "x")
            stream = told(http, f"{API}/instances/x/stream")
            await until(stream, alive)
            database = hub.store.database  # type: ignore[attr-defined]
            # As a registry does it of which this gateway hears nothing.
            database.write(lambda session: session.plain("DELETE FROM instances WHERE instance_id = 'x'"))
            said = await until(stream, lambda kind, _: kind == "end")
            assert said[-1][1]["status"] == "purged"
