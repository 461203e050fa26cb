"""PostgreSQL behind a cut cable: nothing arrives, nothing is acknowledged, and nobody is told.

The cut is real: the client lives in a network namespace of its own, and the link that leads out of it goes down.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.postgres_server import PostgresServer
from tests.silent_proxy import silent_proxy

pytestmark = pytest.mark.postgres

#: Seconds of the client's patience; and what a slow machine may take beyond.
PATIENCE, BEYOND = 2.0, 20.0
#: Addresses of the two ends of the link; of the range for benchmarks of networks, which nobody routes.
NEAR, FAR = "198.18.77.1", "198.18.77.2"

CLIENT = f"""
import sys, time
from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.databases import postgres, postgres_connection, postgres_lock
from durable_ray.actors.store.opening import open_store
from tests.store_contract.building import made, start

postgres._PATIENCE = postgres_connection._SECONDS = {PATIENCE}
for module in (postgres, postgres_connection, postgres_lock):
    module.PROMPTLY = 1.0
store = open_store(sys.argv[1])
print(made(store, start("before")), flush=True)
for line in sys.stdin:
    began = time.monotonic()
    try:
        said = made(store, start(line.strip()))
    except StoreError as error:
        said = type(error).__name__
    print(said, round(time.monotonic() - began, 1), flush=True)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@contextmanager
def cut_off(name: str) -> Iterator[None]:
    """A network namespace with a link to this one."""
    near, far = f"{name}n", f"{name}f"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    try:
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        ip("link", "set", far, "netns", name)
        ip("addr", "add", f"{NEAR}/30", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", name, "addr", "add", f"{FAR}/30", "dev", far)
        ip("-n", name, "link", "set", far, "up")
        yield
    finally:
        ip("netns", "del", name)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2")
def test_a_commit_into_a_cut_cable_has_an_end_and_the_next_goes_through(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    name = f"dr{os.getpid()}"
    with cut_off(name), silent_proxy(postgres_server.port, NEAR) as server:
        url = postgres_url.replace(f"127.0.0.1:{postgres_server.port}/", f"{NEAR}:{server.port}/")
        client = subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", CLIENT, url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            assert client.stdout.readline().startswith("Started")
            ip("link", "set", f"{name}n", "down")
            print("during", file=client.stdin, flush=True)
            said, seconds = client.stdout.readline().split()
            assert (said, float(seconds) < PATIENCE + BEYOND) == ("StoreError", True), (said, seconds)
            ip("link", "set", f"{name}n", "up")
            print("after", file=client.stdin, flush=True)
            said, seconds = client.stdout.readline().rsplit(maxsplit=1)
            assert said.startswith("Started")
            assert float(seconds) < PATIENCE + BEYOND
        finally:
            client.kill()
            client.wait(20)
