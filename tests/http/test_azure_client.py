"""The unmodified `azure-functions-durable` client drives the gateway of a hub in this process, through a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from durable_ray.http.azure.binding import client_binding
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.azure_suite import AzureSuite, azure
from tests.http.listening import listening

__all__ = ["azure"]


@pytest.fixture(scope="module")
def binding() -> Iterator[str]:
    settings = GatewaySettings(port=0, grace=1)
    with TestHub(auto_advance=False) as hub, listening(hub.async_client, settings, world.RING) as url:
        yield client_binding(url, hub.async_client.hub, world.KEY)


class TestAzureClient(AzureSuite):
    pass


async def test_a_binding_without_the_key_gets_nothing(azure: Any, binding: str) -> None:
    azure._orchestration_bindings._rpc_base_url = azure._orchestration_bindings.rpc_base_url.replace(world.KEY, "no")
    with pytest.raises(Exception, match="unexpected status code 401"):
        await azure.get_status_all()
