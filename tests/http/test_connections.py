"""Real sockets against a real gateway process: whoever says nothing, or takes nothing, holds it up for seconds at most."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parent.parent.parent

#: A gateway in a process of its own. Deadlines are short, the limits small.
SERVING = """
from durable_ray.http.keys import Access, Key, Keyring
from durable_ray.http.serving import Gateway, serve
from durable_ray.http import serving
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world

serving.keyring_of = lambda client, settings: world.RING
with TestHub() as hub:
    hub.client.start_new("http.approval", instance_id="x")
    hub.client.start_new("http.echo", "y" * 8_000_000, instance_id="large")
    settings = GatewaySettings(
        port=0, grace=1, header_timeout=1.5, transfer_timeout=1.5, max_connections=20, max_streams=3, stream_heartbeat=0.5
    )
    serve(hub.async_client, settings, lambda gateway: print(gateway.url, flush=True))
"""
HOOKS = "/runtime/webhooks/durabletask"
KEY = {"x-functions-key": "full-key-of-the-tests"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", SERVING], cwd=ROOT, **pipes) as process:
        try:
            assert process.stdout is not None
            found = process.stdout.readline().strip()
            assert found.startswith("http://127.0.0.1:")
            yield found
        finally:
            process.kill()


def connected(url: str) -> socket.socket:
    found = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30)
    found.settimeout(30)
    return found


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the other end closes; a connection that was reset has said nothing more."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            found += part
    return found


def head(path: str, length: int | None = None, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *(f"{name}: {value}" for name, value in KEY.items())]
    if length is not None:
        lines += [f"content-length: {length}", "content-type: application/json"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def told(answer: bytes) -> tuple[int, dict[str, Any]]:
    first, _, body = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(body)


def test_silent_connections_are_closed_and_do_not_keep_others_out(url: str) -> None:
    silent = [connected(url) for _ in range(60)]  # Three times as many as there may be.
    began = time.monotonic()
    assert httpx.get(f"{url}{HOOKS}/instances/x", headers=KEY, timeout=30).status_code == 202
    for connection in silent:
        assert rest_of(connection) == b""
    assert time.monotonic() - began < 25


def test_a_header_that_drips_is_answered_408_in_time(url: str) -> None:
    with connected(url) as connection:
        began = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 20:
                connection.sendall(b"x: y\r\n")
                time.sleep(0.3)
        assert time.monotonic() - began < 19
    with connected(url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: loc")
        status, said = told(rest_of(connection))
        assert (status, "header" in said["detail"]) == (408, True)


@pytest.mark.parametrize("path", ["/api/v1/instances", f"{HOOKS}/orchestrators/http.echo", "/orchestrators/http.echo"])
def test_a_body_that_stands_still_is_answered_408(url: str, path: str) -> None:
    with connected(url) as connection:
        connection.sendall(head(path, 1000, "POST") + b'{"a"')
        status, said = told(rest_of(connection))
        assert (status, "body" in said["detail"]) == (408, True)


def test_a_body_that_nobody_asked_for_is_not_waited_for(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head("/nothing/here", 1_000_000, "POST") + b"x")
        assert rest_of(connection).startswith(b"HTTP/1.1 404")


def test_a_body_that_comes_slowly_but_surely_is_taken(url: str) -> None:
    body = json.dumps("z" * 60_000).encode()
    with connected(url) as connection:
        connection.sendall(head(f"{HOOKS}/orchestrators/http.echo", len(body), "POST"))
        for at in range(0, len(body), 10_000):  # Longer than `transfer_timeout` in all, never as long without a byte.
            connection.sendall(body[at : at + 10_000])
            time.sleep(0.4)
        assert connection.recv(100).startswith(b"HTTP/1.1 202")


def test_a_connection_that_stays_open_serves_many_requests(url: str) -> None:
    with httpx.Client(base_url=url, headers=KEY, timeout=30) as http:
        for pause in (0, 2, 2):  # Longer than a header may take: between requests nothing is due.
            time.sleep(pause)
            assert http.get(f"{HOOKS}/instances/x").status_code == 202


def test_a_client_that_takes_nothing_of_its_answer_is_let_go(url: str) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        connection.sendall(head("/api/v1/instances/large?wait=20"))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.5)
            try:
                # To be told that it was reset, a peer has to say something.
                connection.send(b"x")
            except ConnectionError:
                return
    pytest.fail("it still holds its connection")


def test_where_all_connections_are_at_work_a_new_one_is_told_so(url: str) -> None:
    waiting = []
    try:
        for _ in range(20):
            connection = connected(url)
            connection.sendall(head("/api/v1/instances/x?wait=30"))
            waiting.append(connection)
        time.sleep(1)
        deadline = time.monotonic() + 20
        while True:
            with connected(url) as one_more:
                one_more.sendall(head(f"{HOOKS}/instances/x"))
                answer = rest_of(one_more)
            if answer.startswith(b"HTTP/1.1 503"):
                break
            assert time.monotonic() < deadline, answer
        status, said = told(answer)
        assert (status, "20 connections" in said["detail"]) == (503, True)
        assert b"retry-after: 5" in answer.lower()
    finally:
        for connection in waiting:
            connection.close()
    deadline = time.monotonic() + 20
    while httpx.get(f"{url}{HOOKS}/instances/x", headers=KEY, timeout=30).status_code != 202:
        assert time.monotonic() < deadline


def test_a_key_may_follow_so_many_streams_at_once(url: str) -> None:
    with contextlib.ExitStack() as streams, httpx.Client(base_url=url, timeout=30) as http:
        parts = []  # An iterator that is dropped closes its stream.
        for path in ("/api/v1/stream", "/api/v1/instances/x/stream", "/api/v1/stream"):
            stream = streams.enter_context(http.stream("GET", path, headers=KEY))
            assert stream.status_code == 200
            parts.append(stream.iter_bytes())
            assert next(parts[-1])
        for path in ("/api/v1/stream", "/api/v1/instances/x/stream"):
            refused = http.get(path, headers=KEY)
            assert (refused.status_code, "max_streams" in refused.json()["detail"]) == (429, True)
            assert refused.headers["retry-after"]
        # Another key has places of its own.
        other = {"x-functions-key": "read-key-of-the-tests"}
        with http.stream("GET", "/api/v1/stream", headers=other) as stream:
            assert stream.status_code == 200
    deadline = time.monotonic() + 30
    while True:  # A stream that was left gives its place back.
        with httpx.stream("GET", f"{url}/api/v1/stream", headers=KEY, timeout=30) as stream:
            if stream.status_code == 200:
                return
        assert time.monotonic() < deadline
