"""Errors: one line and a hint, an exit code that scripts can use, never a traceback; settings by their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from durable_ray.actors.errors import HubUnavailable
from durable_ray.actors.store.contract import HubInUse
from durable_ray.cli.app import app
from durable_ray.config import ClientSettings
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["status", "nobody"], 3, "No instance with ID 'nobody' found."),
        (["wait", "nobody"], 3, "No instance"),
        (["watch", "nobody"], 3, "No instance"),
        (["raise-event", "nobody", "E"], 3, "No instance"),
        (["start", "unheard_of"], 3, "no orchestrator"),
        (["start", "hello", "Tokyo"], 2, "'\"Tokyo\"'"),
        (["start", "hello", "{"], 2, "JSON"),
        (["start", "hello", "@/nowhere.json"], 2, "/nowhere.json cannot be read"),
        (["start", "hello", "--id", "a/b"], 2, "must not contain"),
        (["start", "hello", "--at", "tomorrow"], 2, "is no time"),
        (["start", "hello", "--tag", "x"], 2, "--tag key=value"),
        (["start", "hello", "--each", "--id", "x"], 2, "--each starts many"),
        (["list", "--status", "Sleeping"], 2, "Sleeping"),
        (["purge"], 2, "either IDs or a filter"),
        (["purge", "--status", "Running"], 2, "cannot be purged"),
        (["fly"], 2, "fly"),
        (["list", "--hub", "a b"], 2, "hub:"),
    ],
)
def test_what_makes_no_sense_or_is_not_there(still: Cli, command: list[str], code: int, said: str) -> None:
    assert said in " ".join(still.fails(code, *command).split())


def test_a_taken_id_is_a_conflict_with_a_way_out(cli: Cli) -> None:
    cli.ok("start", "approval", "--id", "a")
    said = cli.fails(4, "start", "approval", "--id", "a")
    assert "already exists" in said
    assert "--if-exists" in said
    assert cli.ok("start", "approval", "--id", "a", "--if-exists", "use_existing") == "a\n"


def test_telling_a_finished_instance_is_a_conflict(cli: Cli) -> None:
    cli.ok("start", "hello", "--id", "h", "--wait")
    for command in (["terminate", "h"], ["suspend", "h"], ["raise-event", "h", "E"], ["rewind", "h"]):
        cli.fails(4, *command)


def test_waiting_in_vain_is_a_timeout(cli: Cli) -> None:
    cli.ok("start", "approval", "--id", "a")
    assert "has not finished after 0.1 s" in cli.fails(7, "wait", "a", "--timeout", "100ms")


def test_errors_are_json_where_json_was_asked_for(still: Cli) -> None:
    said = json.loads(still.fails(3, "status", "nobody", "--json"))
    assert (said["exit_code"], said["error"]) == (3, "No instance with ID 'nobody' found.")


def test_only_debug_shows_tracebacks(still: Cli) -> None:
    result = still.run("status", "nobody", "--debug")
    assert result.exit_code == 3
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("error", [HubUnavailable("nobody there"), HubInUse("10.0.0.1:6379", 0), ConnectionError("no")])
def test_a_hub_that_does_not_answer(still: Cli, error: Exception) -> None:
    def unreachable(settings: ClientSettings) -> Any:
        raise error

    result = still.runner.invoke(app, ["list"], obj=unreachable)
    assert result.exit_code == 5
    assert result.stderr.count("\n") == 2


def test_markup_and_escapes_of_others_are_shown_and_not_obeyed(cli: Cli) -> None:
    cli.ok("start", "hello", json.dumps("[red]\x1b[31m[/nope]"), "--id", "[bold]x", "--wait")
    for command in (["list"], ["status", "[bold]x", "--history"], ["watch", "[bold]x"]):
        shown = cli.ok(*command)
        assert "\x1b" not in shown
        assert "[bold]x" in shown or command[0] == "watch"
        assert "[red]" in shown


# --- settings ---


def seen(cli: Cli, *args: str, **env: str) -> ClientSettings:
    found: list[ClientSettings] = []

    def remember(settings: ClientSettings) -> Any:
        found.append(settings)
        raise HubUnavailable("enough")

    assert cli.runner.invoke(app, [*args], obj=remember, env=env).exit_code == 5
    return found[0]


def test_options_go_before_environment_before_file_before_defaults(still: Cli, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('hub = "file"\naddress = "file:1"\nstore = "sqlite:////file"\n[other]\nx = 1\n')
    env = {"DURABLE_RAY_CONFIG": str(file), "DURABLE_RAY_HUB": "env", "DURABLE_RAY_ADDRESS": "env:1"}
    settings = seen(still, "list", "--hub", "option", **env)
    assert (settings.hub, settings.address, settings.store) == ("option", "env:1", "sqlite:////file")
    assert (settings.url, settings.key) == (None, None)
    assert seen(still, "list").hub == "durable_ray"


def test_options_may_stand_before_or_behind_the_command(cli: Cli) -> None:
    assert seen(cli, "--hub", "x", "list").hub == "x"
    assert seen(cli, "--hub", "x", "list", "--hub", "y").hub == "y"
    cli.ok("start", "hello", "--id", "h", "--wait")
    assert json.loads(cli.ok("--json", "status", "h"))["instance_id"] == "h"


@pytest.mark.parametrize(("text", "said"), [('adress = "x"', "adress"), ("hub = ", "settings.toml")])
def test_a_settings_file_that_is_wrong_says_where(still: Cli, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    assert said in still.fails(2, "list", DURABLE_RAY_CONFIG=str(file))


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    assert "s3cret" not in repr(ClientSettings(key="s3cret", store="postgresql://u:s3cret@h/d"))
