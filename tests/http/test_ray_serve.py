"""The same gateway behind Ray Serve: routes, encoded paths and keys come through its proxy unchanged."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from durable_ray.http.keys import Access, kept_keyring
from durable_ray.http.settings import GatewaySettings
from tests.http import world
from tests.http.serving_ports import free_port
from tests.ray_cluster import running_hub, running_ray

# Not importorskip("ray.serve"): an import of it that fails halfway leaves its parts behind in this process.
if importlib.util.find_spec("grpc_reflection") is None:
    pytest.skip("Ray Serve is an extra: pip install 'ray[serve]'", allow_module_level=True)

from ray import serve

from durable_ray.http.ray_serve import serve_application

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


@pytest.fixture
def http(tmp_path: Path) -> Iterator[httpx.Client]:
    keys, port = tmp_path / "keys.json", free_port()
    key = kept_keyring(keys).first(Access.FULL)
    assert key is not None
    with running_ray(), running_hub(tmp_path) as client:
        client.register(world.echo)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        settings = GatewaySettings(keys_file=keys)
        serve.run(serve_application(client.hub, client._link.info.store, settings), route_prefix="/")
        headers = {"x-functions-key": key.secret}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as http:
            yield http
        serve.shutdown()


def test_it_is_the_same_behind_ray_serve(http: httpx.Client) -> None:
    started = http.post("/runtime/webhooks/durabletask/orchestrators/http.echo/a%20b", json={"n": 1})
    assert started.status_code == 202
    assert http.get("/api/v1/instances/a%20b?wait=30").json()["output"] == {"n": 1}
    assert http.get(started.headers["location"]).json()["instanceId"] == "a b"
    assert http.post("/runtime/webhooks/durabletask/orchestrators/http.echo/a%2Fb").status_code == 400
    assert httpx.get(f"{http.base_url}/api/v1/hub").status_code == 401
