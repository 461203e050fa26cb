"""Keys that the gateway gets by its environment, as containers get their secrets: they are the only ones, and are not shown."""

from __future__ import annotations

from pathlib import Path

import httpx
import pydantic
import pytest

from durable_ray.http.app import create_app, keyring_of
from durable_ray.http.keys import Access
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world

FULL, READ = "f" * 32, "r" * 32


def test_they_come_from_the_environment_without_their_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLE_RAY_HTTP_KEY", f"{FULL}\n")
    monkeypatch.setenv("DURABLE_RAY_HTTP_READ_ONLY_KEY", READ)
    settings = GatewaySettings()
    assert (settings.key, settings.read_only_key) == (FULL, READ)
    assert FULL not in repr(settings)
    assert READ not in repr(settings)
    assert (
        GatewaySettings.model_validate_json(settings.model_dump_json()) == settings
    )  # as a detached gateway gets them


async def test_they_pass_and_no_file_is_made(hub: TestHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))  # and no token of Ray's
    settings = GatewaySettings(key=FULL, read_only_key=READ)
    ring = keyring_of(hub.async_client, settings)
    assert [ring.access(key) for key in (FULL, READ, "wrong")] == [Access.FULL, Access.READ, Access.NONE]
    transport = httpx.ASGITransport(app=create_app(hub.async_client, settings))
    async with httpx.AsyncClient(transport=transport, base_url=world.URL) as http:
        statuses = [
            (await http.post("/orchestrators/http.echo", json={}, headers={"x-functions-key": key})).status_code
            for key in (FULL, READ, "wrong")
        ]
    assert statuses == [202, 403, 401]
    assert not list(tmp_path.rglob("*.keys.json"))


@pytest.mark.parametrize(
    "given",
    [
        {"key": ""},
        {"key": "guess"},
        {"key": "has a space in it, and is long"},
        {"key": "é" * 20},
        {"key": FULL, "read_only_key": FULL},
        {"key": FULL, "keys_file": "keys.json"},
        {"read_only_key": READ, "keys_file": "keys.json"},
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(given: dict[str, str]) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        GatewaySettings.model_validate(given)
    for secret in (given.get("key"), given.get("read_only_key")):
        assert not secret or secret not in str(refused.value)
