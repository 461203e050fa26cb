"""In the foreground: it listens, says nothing that is secret, ends when it is told to, and holds under many clients."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.http_load import load, lost
from durable_ray.actors.errors import InvalidState
from durable_ray.http.serving import bind
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.listening import listening

ROOT = Path(__file__).parent.parent.parent

#: A process that serves until it is told to stop.
SERVING = """
import logging
from durable_ray.http.serving import serve
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world

logging.basicConfig(level=logging.DEBUG)
with TestHub() as hub:
    hub.client.start_new("http.approval", instance_id="x")
    settings = GatewaySettings(port=0, grace=1, keys_file="keys.json")
    serve(hub.async_client, settings, lambda gateway: print(gateway.url, flush=True))
print("ended", flush=True)
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVING]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, **pipes) as process:  # type: ignore[call-overload]
        yield process
        process.kill()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(serving: subprocess.Popen[str], tmp_path: Path, by: signal.Signals) -> None:
    assert serving.stdout is not None
    url = serving.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    kept = (tmp_path / "keys.json").read_text()
    key = kept.split('"key": "')[1].partition('"')[0]
    with httpx.Client(base_url=url, params={"code": key}, timeout=20) as http:
        assert http.get("/runtime/webhooks/durabletask/instances/x").status_code == 202
        # An open stream does not keep it from ending.
        with http.stream("GET", "/api/v1/instances/x/stream") as stream:
            assert stream.status_code == 200
            serving.send_signal(by)
            rest, log = serving.communicate(timeout=30)
    assert "GET /runtime/webhooks/durabletask/instances/x 202" in log
    assert key not in log + rest
    assert (serving.returncode, rest) == (0, "ended\n")


async def test_the_hub_knows_where_its_gateway_is(hub: TestHub) -> None:
    client = hub.async_client
    with pytest.raises(InvalidState, match="no HTTP gateway"):
        await client.create_http_management_payload("x")
    with listening(client, GatewaySettings(port=0, grace=1), world.RING) as url:
        for _ in range(100):
            try:
                urls = await client.create_http_management_payload("x")
                break
            except InvalidState:
                continue
        assert urls["statusQueryGetUri"].startswith(f"{url}/runtime/webhooks/durabletask/instances/x?")
    with pytest.raises(InvalidState, match="no HTTP gateway"):
        await client.create_http_management_payload("x")


def test_many_clients_at_once() -> None:
    """A small sitting of `benchmarks/http_load.py`, which see."""
    with TestHub() as hub, listening(hub.async_client, GatewaySettings(port=0, grace=1), world.RING) as url:
        hub.client.register()
        tally = load(url, world.KEY, count=40, seconds=3, processes=1)
        missing = lost(url, world.KEY, tally.started)
    assert tally.started
    assert (missing, tally.wrong) == ([], [])
    assert set(tally.codes) == {200, 202}


async def test_answers_are_not_delayed_by_nagles_algorithm() -> None:
    """Head and body are two writes; the second would wait for the first to be acknowledged, which takes clients 40 ms."""
    bound = bind(GatewaySettings(port=0), world.RING)
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(on_connection, sock=bound) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await accepted
        writer.close()
