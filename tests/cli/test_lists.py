"""Lists and counts: filters choose, tables fit the terminal, IDs can be piped into other commands."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from durable_ray.actors.instances.status import micros
from durable_ray.cli.app import app
from durable_ray.cli.commands.filters import make_filter
from durable_ray.cli.exits import CommandError
from durable_ray.cli.hub.over_http import _query
from durable_ray.cli.hub.port import InstanceView
from durable_ray.cli.output import instances_table
from tests.cli.conftest import Cli, fill


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["h-1", "h-2", "a-1"]),
        (["--newest"], ["a-1", "h-2", "h-1"]),
        (["--name", "hello"], ["h-1", "h-2"]),
        (["--status", "completed", "--status", "Failed"], ["h-1", "h-2"]),
        (["--prefix", "a"], ["a-1"]),
        (["--tag", "team=blue"], ["h-1", "a-1"]),
        (["--created-after", "2030-01-01", "--name", "approval"], ["a-1"]),
        (["--created-before", "2029-12-31"], []),
        (["--parent", "nobody"], []),
        (["--schedule", "nobody"], []),
    ],
)
def test_filters_choose(filled: Cli, options: list[str], expected: list[str]) -> None:
    found = [one["instance_id"] for one in filled.json("list", *options)]
    assert sorted(found) == sorted(expected)


def test_a_list_that_was_cut_says_so(filled: Cli) -> None:
    result = filled.run("list", "--limit", "1")
    assert "more than 1" in result.stderr
    assert "more than" not in filled.run("list", "--limit", "3").stderr
    assert filled.ok("list", "--all", "--ids").split() == filled.ok("list", "-q").split()


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
def test_a_table_fits_the_terminal_and_keeps_ids_whole(columns: int) -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    some = [
        InstanceView("x" * 100, "z" * 50, "Completed", at, at, output="y" * 500),
        InstanceView("i", "n", "Failed", at, at),
    ]
    out = Console(file=StringIO(), width=columns)
    out.print(instances_table(some, columns))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= columns
    assert shown.count("x") == 100


def test_random_ids_are_whole_at_80_columns_and_all_ids_in_a_pipe(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "order:" + "7" * 80
    cli.ok("start", "hello", "--id", long, "--wait")
    random = cli.ok("start", "hello").strip()
    assert random in cli.ok("list", COLUMNS="80")
    monkeypatch.delenv("COLUMNS", raising=False)
    piped = cli.runner.invoke(app, ["list"], obj=cli._open).stdout
    assert long in piped
    assert max(map(len, piped.splitlines())) < 240


def test_counts_are_a_table_of_names_and_statuses(filled: Cli) -> None:
    shown = filled.ok("count")
    assert [word for word in shown.split() if word in ("hello", "approval", "Completed", "Running", "all")] == [
        "Running", "Completed", "approval", "hello", "all",
    ]  # fmt: skip
    assert filled.ok("count", "--name", "hello") == "2\n"
    rows = filled.json("count")["by_name"]
    assert {"name": "hello", "status": "Completed", "count": 2} in rows


def test_ids_are_piped_from_one_command_into_another(either: Cli) -> None:
    fill(either)
    ids = either.ok("list", "--status", "Completed", "--ids")
    assert either.ok("purge", "-", stdin=ids) == "purged 2\n"


def test_what_fails_for_one_is_done_for_the_others(either: Cli) -> None:
    fill(either)
    result = either.run("terminate", "a-1", "h-1", "nobody")
    assert result.exit_code == 4
    assert result.stdout == "terminated a-1\n"
    assert "h-1" in result.stderr
    assert "No instance with ID 'nobody'" in result.stderr


def test_definitions_are_listed(cli: Cli) -> None:
    found = cli.json("definitions")
    assert [(one["kind"], one["name"]) for one in found] == [
        ("orchestrator", "approval"),
        ("orchestrator", "hello"),
        ("orchestrator", "paying"),
        ("orchestrator", "slow"),
        ("activity", "pay"),
    ]
    assert "paying" in cli.ok("definitions")


def test_an_empty_hub_says_that_it_is_empty(cli: Cli) -> None:
    assert "no instances" in cli.run("list").stderr
    assert cli.json("list") == []


def test_a_list_is_paged_by_token(filled: Cli) -> None:
    everything = filled.ok("list", "--ids").split()
    first = filled.run("list", "--ids", "--limit", "2")
    token = first.stderr.partition("--token ")[2].split()[0]
    second = filled.run("list", "--ids", "--limit", "2", "--token", token)
    assert first.stdout.split() + second.stdout.split() == everything
    assert second.stderr == ""
    other = filled.fails(2, "list", "--token", token, "--name", "hello")
    assert "token" in other
    assert "--all" in filled.fails(2, "list", "--token", token, "--all")


def test_programs_page_by_the_token_in_the_document(filled: Cli) -> None:
    found: list[str] = []
    token = ""
    for _ in range(5):
        page = filled.json("list", "--limit", "1", "--token", token)
        found += [one["instance_id"] for one in page["instances"]]
        token = page["continuation_token"]
        if token is None:
            break
    assert found == filled.ok("list", "--ids").split()


@pytest.mark.parametrize("said", ["completed,running", "Completed RUNNING", "Running, Completed,"])
def test_one_option_takes_several_statuses(filled: Cli, said: str) -> None:
    assert len(filled.json("list", "--status", said)) == 3
    assert filled.json("count", "--status", said) == {"count": 3}
    assert filled.json("count", "-s", "completed", "-s", said) == {"count": 3}


@pytest.mark.parametrize("said", ["", "Sleeping", "Completed,Sleeping"])
def test_a_status_that_there_is_not_is_refused(filled: Cli, said: str) -> None:
    for command in ("list", "count", "purge"):
        assert "Terminated" in filled.fails(2, command, "--status", said)


def test_a_time_that_is_shown_includes_its_own_instance_when_it_is_given_back() -> None:
    at = datetime(2030, 1, 1, 9, 0, 5, 700_000, tzinfo=UTC)
    out = Console(file=StringIO(), width=120)
    out.print(instances_table([InstanceView("i", "n", "Completed", at, at)], 120))
    (shown,) = re.findall(r"2030-\S+ \S+", out.file.getvalue())  # type: ignore[attr-defined]
    wanted = make_filter((), (), None, shown, shown, ())
    assert wanted.created_from is not None
    assert wanted.created_to is not None
    assert wanted.created_from <= micros(at) <= wanted.created_to


@pytest.mark.parametrize("word", ["", "yesterday", "01/31/2001", "2001-13-01", "5"])
def test_a_bound_that_cannot_be_read_is_refused(word: str) -> None:
    with pytest.raises(CommandError):
        make_filter((), (), None, None, word, ())


def test_a_parent_that_is_empty_is_nobodys_and_not_everybodys() -> None:
    assert _query(make_filter((), (), None, None, None, (), ""))["parent_id"] == ""
    assert _query(make_filter((), (), None, None, None, ())) == {}


def test_a_prefix_that_is_empty_is_refused_and_not_taken_for_all(filled: Cli) -> None:
    for command in ("list", "count", "purge"):
        assert "--prefix is empty" in filled.fails(2, command, "--prefix", "", "--status", "Completed")
