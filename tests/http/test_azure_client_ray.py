"""The unmodified `azure-functions-durable` client drives the gateway, which is an actor of a real Ray cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import ray

import durable_ray as dr
from durable_ray.actors.cluster.handles import system_namespace
from durable_ray.http.actor import GATEWAY, detached_url, serve_detached, stop_detached
from durable_ray.http.azure.binding import client_binding
from durable_ray.http.keys import Access, kept_keyring, keys_path
from durable_ray.http.settings import GatewaySettings
from tests.http import world
from tests.http.azure_suite import AzureSuite, azure
from tests.ray_cluster import running_hub, running_ray

__all__ = ["azure"]
pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dr.Client]:
    with running_ray(), running_hub(tmp_path_factory.mktemp("hub"), max_dedicated=8, linger=0.5) as client:
        client.register(
            *(world.echo, world.hello, world.approval, world.fragile, world.sleeper, world.greet, world.fragile_step)
        )
        yield client


@pytest.fixture(scope="module")
def url(client: dr.Client) -> Iterator[str]:
    yield serve_detached(client._link, GatewaySettings(port=0, grace=1))
    assert stop_detached(client._link)
    assert detached_url(client._link) is None


@pytest.fixture(scope="module")
def key(client: dr.Client, url: str) -> str:
    path = keys_path(client.hub, client._link.info.store)
    assert path is not None
    found = kept_keyring(path).first(Access.FULL)
    assert found is not None
    return found.secret


@pytest.fixture(scope="module")
def binding(client: dr.Client, url: str, key: str) -> str:
    return client_binding(url, client.hub, key)


class TestAzureClientOverRay(AzureSuite):
    pass


def test_a_client_learns_the_urls_from_the_hub(client: dr.Client, url: str, key: str) -> None:
    handle = client.start_new(world.approval, instance_id="by-urls")
    urls = client.create_http_management_payload(handle.instance_id)
    assert urls["statusQueryGetUri"].startswith(url)
    assert httpx.get(urls["statusQueryGetUri"]).json()["instanceId"] == "by-urls"
    assert httpx.post(urls["sendEventPostUri"].format(eventName="Approval"), json="yes").status_code == 202
    assert handle.wait_for_completion(30) == "yes"


def test_there_is_one_gateway(client: dr.Client, url: str) -> None:
    assert serve_detached(client._link, GatewaySettings(port=0)) == url


async def test_a_killed_gateway_comes_back(client: dr.Client, url: str, key: str) -> None:
    actor = ray.get_actor(GATEWAY, namespace=system_namespace(client.hub))
    _, pid = await actor.hello.remote()
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while True:
            try:
                again, other = await actor.hello.remote()
                break
            except ray.exceptions.RayActorError:
                await asyncio.sleep(0.2)
    assert other != pid
    answer: Any = httpx.get(f"{again}/api/v1/hub", headers={"x-functions-key": key}).json()
    assert answer["hub"] == client.hub
