"""The commands as a whole: each has its help with the shared options, shells complete them, other files fit them."""

from __future__ import annotations

import functools
import re
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

import durable_ray as dr
from durable_ray.cli.app import app, schedule_app
from durable_ray.cli.exits import Exit
from durable_ray.cli.session import OPTIONS
from tests.sources import ROOT

COMMANDS = sorted(str(command.name) for command in app.registered_commands if not command.hidden)
SCHEDULE = sorted(str(command.name) for command in schedule_app.registered_commands)
WIDE = {"COLUMNS": "200"}


@functools.cache
def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], env=WIDE)
    assert result.exit_code == 0
    return re.sub(r"\x1b\[[\d;]*m", "", result.stdout)


def test_every_command_of_durable_functions_tools_and_of_this_one_is_there() -> None:
    assert set(COMMANDS) == set(
        """up down serve deploy definitions doctor start status list count history watch wait raise-event terminate
        suspend resume rewind restart purge delete-task-hub backup restore migrate-store audit export replay check""".split()
    )


def test_every_verb_of_schedules_is_there() -> None:
    assert sorted("create list describe update pause resume trigger backfill delete".split()) == SCHEDULE
    assert "schedule" in help_of()


@pytest.mark.parametrize("command", [*COMMANDS, *(f"schedule {verb}" for verb in SCHEDULE)])
def test_every_command_has_the_shared_options_and_says_what_it_does(command: str) -> None:
    said = help_of(*command.split())
    for option in ("--json", "--address", "--hub", "--store", "--url", "--key", "--debug"):
        assert option in said, f"{command} lacks {option}"
    assert len(OPTIONS) == 7


def test_the_exit_codes_of_the_help_and_of_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == [int(code) for code in Exit]
    told = help_of().partition("Exit codes:")[2]
    assert [int(code) for code in re.findall(r"\b(\d)\b", told)] == [int(code) for code in Exit if code < 100]


def test_the_page_shows_only_commands_and_options_that_exist() -> None:
    pages = [(ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("cli.md", "schedules.md")]
    text = "".join(pages).replace("\\\n", " ")
    shown = re.findall(r"durable-ray ((?:schedule )?[a-z-]+)([^`\n|#]*)", text)
    assert len(shown) > 20
    for command, rest in shown:
        known = help_of(*command.split())
        for option in re.findall(r"(?<!-)--[a-z-]+", rest.partition(" -- ")[0]):
            assert option in known, f"{command} has no {option}"


def test_cluster_yaml_ends_the_heads_commands_with_one_that_only_joins() -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    name, command, *options = cluster["head_start_ray_commands"][-1].split()
    assert (name, command, options) == ("durable-ray", "up", ["--join"])
    assert "Only join the Ray that runs on this machine" in help_of("up")


@pytest.mark.parametrize("wrong", [["--join", "--new"], ["--join", "--", "--num-cpus=1"]])
def test_joining_starts_nothing(wrong: list[str]) -> None:
    assert CliRunner().invoke(app, ["up", *wrong]).exit_code == Exit.USAGE


def test_it_runs_as_a_module_and_completes_for_a_shell() -> None:
    command = [sys.executable, "-m", "durable_ray"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"_DURABLE_RAY_COMPLETE": "complete_bash", "COMP_WORDS": "durable-ray re", "COMP_CWORD": "1"},
    )
    assert done.stdout.split() == ["resume", "rewind", "restart", "restore", "replay"]


def test_the_release_is_printed() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.stdout.split()[:2]) == (0, ["durable-ray", dr.__version__])
