"""The probes: who asks needs no key, learns no secret, and hears that the hub works only while it can be written."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.contract import StoreError
from durable_ray.http.app import create_app
from durable_ray.http.monitoring import health
from durable_ray.testing import TestHub
from tests.http import world


def probe(hub: TestHub) -> httpx.AsyncClient:
    """A caller without a key, of a gateway that has answered nobody yet."""
    app = create_app(hub.async_client, world.SETTINGS, world.RING)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=world.URL)


async def test_both_say_ok_without_a_key(hub: TestHub) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await probe(hub).get(path)
        assert (answer.status_code, answer.text) == (200, "ok\n")
        assert (await probe(hub).head(path)).status_code == 200


async def test_only_these_and_only_to_read(hub: TestHub) -> None:
    for path in ("/healthz/", "/healthz/x", "/readyz.json", "/metrics", "//healthz", "/api/v1/healthz"):
        assert (await probe(hub).get(path)).status_code == 401, path
    assert (await probe(hub).post("/readyz")).status_code == 403
    assert (await probe(hub).get("/readyz?code=wrong-key-of-somebody")).status_code == 401
    assert (await probe(hub).get("/readyz", headers={"host": "evil.example"})).status_code == 403


async def test_a_registry_that_lost_its_lease_is_not_ready(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_WITHIN", 0.5)
    gateway = probe(hub)
    hub.store.acquire_lease("registry")
    answer = await gateway.get("/readyz")
    assert answer.status_code == 503
    assert (await gateway.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StoreError("postgresql://me:s3cret@db.example/hub is full"), "the store cannot be written\n"),
        (ValueError("s3cret"), "the hub cannot be reached\n"),
    ],
)
async def test_the_reason_holds_nothing_of_the_error(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    async def ready(_: Registry) -> None:
        raise error

    monkeypatch.setattr(Registry, "ready", ready)
    answer = await probe(hub).get("/readyz")
    assert (answer.status_code, answer.text) == (503, text)


async def test_a_silent_registry_is_not_ready_and_is_asked_once_by_many(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def ready(_: Registry) -> None:
        asked.append(1)
        await asyncio.sleep(60)

    ready.__name__ = "ready"
    monkeypatch.setattr(Registry, "ready", ready)
    monkeypatch.setattr(health, "_WITHIN", 0.3)
    gateway = probe(hub)
    answers = await asyncio.gather(*(gateway.get("/readyz") for _ in range(50)))
    assert {(one.status_code, one.text) for one in answers} == {(503, "the registry does not answer\n")}
    assert len(asked) == 1
