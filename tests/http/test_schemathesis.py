"""The OpenAPI document of `/api/v1` is true: schemathesis, let loose on it, finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.listening import listening

#: Cases of one operation and phase. More (SCHEMATHESIS_EXAMPLES=100) for an afternoon.
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "4")

#: No schema says which cron expressions there are: a spec that fits it may be refused.
CONFIG = """
[[operations]]
include-path-regex = "^/schedules"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "429", "5xx"]
"""


@pytest.mark.timeout(900)
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    settings = GatewaySettings(port=0, grace=1)
    with TestHub() as hub, listening(hub.async_client, settings, world.RING) as url:
        hub.client.register()
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/api/v1/openapi.json"),
            *("-H", f"x-functions-key: {world.KEY}", "-H", f"Authorization: Bearer {world.KEY}"),
            *("--max-examples", EXAMPLES, "--seed", "7", "--generation-database", "none", "--no-color"),
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert "33/33" in done.stdout
