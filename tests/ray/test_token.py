"""A client with an explicit address, on a cluster that wants Ray's token: it works, or it says what to set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

import durable_ray as dr
from durable_ray.actors.cluster.older_ray import ray_has_tokens

pytestmark = [pytest.mark.ray, pytest.mark.skipif(not ray_has_tokens(), reason="this Ray has no tokens")]

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
import durable_ray as dr
address, hub, store = sys.argv[1:]
try:
    print("status", dr.Client(address, hub=hub, store=store).get_status("nobody"))
except dr.HubUnavailable as error:
    print("unavailable", error)
"""


def drive(client: dr.Client, **environment: str) -> str:
    """A driver that knows nothing of this process but the address; what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, address, client.hub, client._link.info.store],
        env={**kept, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_token_of_this_machine_is_found(ray_client: dr.Client) -> None:
    assert "status None" in drive(ray_client)


def test_a_wrong_token_raises_with_what_to_set(ray_client: dr.Client) -> None:
    printed = drive(ray_client, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
    assert "unavailable" in printed
    assert "RAY_AUTH_TOKEN" in printed
