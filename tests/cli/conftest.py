"""A hub in this process and a way to type commands at it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

import durable_ray as dr
from durable_ray.cli.app import app
from durable_ray.cli.hub.over_http import HttpHub
from durable_ray.cli.hub.over_ray import RayHub
from durable_ray.cli.hub.port import HubPort
from durable_ray.http.app import create_app
from durable_ray.http.keys import Access, Key, Keyring
from durable_ray.http.settings import GatewaySettings
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.testing import TestHub

#: Code goes to hosts by value, so what a test changes later has to be outside of it.
BANK = "TEST_BANK_IS_OPEN"
KEY = "full-key-of-the-tests"
RING = Keyring([Key("default", Access.FULL, KEY), Key("read-only", Access.READ, "read-key-of-the-tests")])


def pay(amount: int) -> str:
    if BANK not in os.environ:
        raise ValueError("the bank is closed")
    return f"paid {amount}"


async def hello(ctx: dr.OrchestrationContext, who: object = None) -> str:
    ctx.set_custom_status({"greeting": who})
    return f"Hello {who}!"


async def approval(ctx: dr.OrchestrationContext, order: object = None) -> Any:
    return await ctx.wait_for_external_event("Approval")


async def paying(ctx: dr.OrchestrationContext, amount: int) -> str:
    return str(await ctx.call_activity("pay", amount))


async def slow(ctx: dr.OrchestrationContext) -> str:
    await ctx.create_timer(timedelta(days=30))
    return "late"


def definitions() -> DefinitionCatalog:
    found = DefinitionCatalog()
    for function in (hello, approval, paying, slow):
        found.register(Orchestrator(function, OrchestratorOptions(function.__name__)))
    found.register(Activity(pay, ActivityOptions("pay", local=True)))
    return found


@dataclass
class Cli:
    """Type a command; what came of it."""

    hub: TestHub
    runner: CliRunner
    reached: HubPort

    def run(self, *args: str, stdin: str | None = None, **env: str) -> Result:
        """Run it, whatever comes of it."""
        environment = {"COLUMNS": "120", "TZ": "UTC", **env}
        return self.runner.invoke(app, list(args), input=stdin, env=environment, obj=self._open)

    def ok(self, *args: str, stdin: str | None = None, **env: str) -> str:
        """Run it; it has to end well. What it printed."""
        result = self.run(*args, stdin=stdin, **env)
        assert result.exit_code == 0, (result.exit_code, result.stdout, result.stderr, result.exception)
        return result.stdout

    def json(self, *args: str, stdin: str | None = None) -> Any:
        """Run it with --json; what it printed, read."""
        return json.loads(self.ok(*args, "--json", stdin=stdin))

    def fails(self, code: int, *args: str, stdin: str | None = None, **env: str) -> str:
        """Run it; it has to end with this code. What it said on standard error."""
        result = self.run(*args, stdin=stdin, **env)
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr, result.exception)
        assert "Traceback" not in result.stderr
        return result.stderr

    def _open(self, settings: object) -> HubPort:
        return self.reached


@contextmanager
def opened_hub(folder: Path) -> Iterator[TestHub]:
    """A hub whose time stands still unless it is moved."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.delenv(BANK, raising=False)
        start = datetime(2030, 1, 1, tzinfo=UTC)
        hub = stack.enter_context(TestHub(definitions=definitions(), start=start, auto_advance=False))
        hub.client.register()
        yield hub


@contextmanager
def commands(hub: TestHub, way: str) -> Iterator[Cli]:
    """Commands that reach the hub as they would over Ray, or through the real gateway, without a socket."""
    if way == "ray":
        yield Cli(hub, CliRunner(), RayHub(hub.client, {"hub": "testing"}))
        return
    gateway = create_app(hub.async_client, GatewaySettings(max_wait=30), RING)
    headers = {"x-functions-key": KEY}
    with TestClient(gateway, base_url="http://127.0.0.1:7071", headers=headers) as client:
        yield Cli(hub, CliRunner(), HttpHub(client))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[TestHub]:
    """A hub of the test's own."""
    with opened_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
def cli(hub: TestHub) -> Iterator[Cli]:
    """Commands over Ray's way."""
    with commands(hub, "ray") as cli:
        yield cli


@pytest.fixture(params=["ray", "http"])
def either(request: pytest.FixtureRequest, hub: TestHub) -> Iterator[Cli]:
    """Commands over each way."""
    with commands(hub, request.param) as cli:
        yield cli


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Commands at an empty hub that the tests of a module share, as they change nothing in it."""
    with opened_hub(tmp_path_factory.mktemp("still")) as hub, commands(hub, "ray") as cli:
        yield cli


def fill(cli: Cli) -> Cli:
    """Give the hub something to list."""
    cli.ok("start", "hello", '"a"', "--id", "h-1", "--tag", "team=blue", "--wait")
    cli.ok("start", "hello", '"b"', "--id", "h-2", "--wait")
    cli.ok("start", "approval", "--id", "a-1", "--tag", "team=blue")
    cli.hub.client.wait_for_start("a-1")
    return cli


@pytest.fixture(scope="module", params=["ray", "http"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Commands over each way at a hub with something in it, which the tests of a module share and leave as it is."""
    with opened_hub(tmp_path_factory.mktemp("filled")) as hub, commands(hub, request.param) as cli:
        yield fill(cli)
