"""What people type is read strictly, code is loaded by module or file."""

from __future__ import annotations

import io
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from durable_ray.actors.errors import HubUnavailable
from durable_ray.cli.commands.running import definitions_of
from durable_ray.cli.exits import CommandError, Exit, one_line, problem_of
from durable_ray.cli.hub.quiet import join_quietly
from durable_ray.cli.inputs import duration, ids, json_value, json_values, now, tags, when
from durable_ray.cli.loading import load


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_json_comes_from_the_argument_a_file_or_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "input.json"
    file.write_text(' {"a": 1}\n')
    piped(monkeypatch, "[null]")
    assert (json_value('"x"'), json_value(f"@{file}"), json_value("-"), json_value(None)) == (
        "x",
        {"a": 1},
        [None],
        None,
    )


@pytest.mark.parametrize("text", ["", "{", "NaN", "pickle:gASV", "1 2", "[" * 2000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        json_value(text)
    assert refused.value.code is Exit.USAGE


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[1, 2]", [1, 2]),
        ("[\n1,\n2\n]", [1, 2]),
        ("1\n\n2\n", [1, 2]),
        ("[1]\n[2]", [[1], [2]]),
        ('{"a": 1}', [{"a": 1}]),
        ("[]", []),
        ("", []),
    ],
)
def test_many_inputs_are_an_array_or_lines(text: str, values: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, text)
    assert json_values("-") == values


def test_durations_and_times() -> None:
    assert duration("1h30m") == timedelta(minutes=90)
    assert duration("250ms") == timedelta(milliseconds=250)
    assert when("2030-01-31T09:00") == datetime(2030, 1, 31, 9, tzinfo=UTC)
    assert when("2030-01-31 09:00+02:00") == datetime(2030, 1, 31, 9, tzinfo=timezone(timedelta(hours=2)))
    assert timedelta(hours=1, minutes=59) < now() - when("2h") < timedelta(hours=2, minutes=1)
    assert timedelta(minutes=9) < when("10m", ahead=True) - now() < timedelta(minutes=11)


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "1h 30m", "-5m", "5y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="no duration"):
        duration(text)


def test_tags_may_have_equals_signs_in_their_values() -> None:
    assert tags(["a=b=c", "d="]) == {"a": "b=c", "d": ""}


def test_ids_come_once_each_and_from_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, "b\n\nc \r\na\n")
    assert list(ids(["a", "-", "a"])) == ["a", "b", "c "], "a blank may belong to an ID"


def test_a_message_becomes_one_line_without_escapes() -> None:
    assert one_line("a\n\x1b[31mb\tc") == "a [31mb c"
    assert problem_of(RuntimeError("")).code is Exit.FAILURE
    assert "durable-ray[http]" in problem_of(ModuleNotFoundError("no uvicorn", name="uvicorn")).hint


# --- loading code ---


@pytest.fixture
def imports() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.mark.usefixtures("imports")
def test_a_file_or_a_module_of_the_working_directory_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cli_beside.py").write_text("here = 1\n")
    (tmp_path / "cli_orders.py").write_text("import cli_beside\nvalue = cli_beside.here\n")
    (tmp_path / "json.py").write_text("mine = True\n")
    assert load(str(tmp_path / "cli_orders.py")).value == 1
    monkeypatch.chdir(tmp_path)
    assert load("cli_beside").here == 1
    mine = load("json.py")
    assert mine.mine
    # Under the name of another module its functions would be taken for that one's.
    assert mine.__name__ != "json"


@pytest.mark.usefixtures("imports")
@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("nowhere.py", Exit.USAGE, "there is no file"),
        ("cli_nowhere", Exit.USAGE, "there is no module"),
        ("broken.py", Exit.FAILURE, "ZeroDivisionError"),
        ("wants.py", Exit.FAILURE, "cli_missing"),
    ],
)
def test_code_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: Exit, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "wants.py").write_text("import cli_missing\n")
    with pytest.raises(CommandError, match=said) as refused:
        load(name)
    assert refused.value.code is code


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(HubUnavailable, match="nothing listens at 127"):
            join_quietly(f"127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.usefixtures("imports")
def test_a_functions_app_is_loaded_by_its_folder(tmp_path: Path) -> None:
    app = "import azure.durable_functions as df\napp = df.DFApp()\n"
    activity = "@app.activity_trigger(input_name='x')\ndef cli_azure_step(x):\n    return x\n"
    (tmp_path / "function_app.py").write_text(app + activity)
    (found,) = definitions_of(str(tmp_path))
    assert found.name == "cli_azure_step"
    (tmp_path / "empty").mkdir()
    with pytest.raises(CommandError, match="no Functions app") as refused:
        definitions_of(str(tmp_path / "empty"))
    assert refused.value.code is Exit.USAGE
