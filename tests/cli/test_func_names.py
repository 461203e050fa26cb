"""Azure's `func durable` commands and options are answered with what does the same here."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("typed", "answered"),
    [
        ("start-new --function-name hello --input @in.json --id h-1", "durable-ray start hello @in.json --id h-1"),
        ("start-new", "durable-ray start NAME"),
        ("get-runtime-status --id h-1 --show-input true", "durable-ray status h-1"),
        ("get-history --id h-1 --task-hub-name lab", "durable-ray history h-1 --hub lab"),
        (
            "get-instances --created-after 2030-01-01 --runtime-status completed failed --top 5 --continuation-token x",
            "durable-ray list --created-after 2030-01-01 --status completed,failed --limit 5 --token x",
        ),
        (
            "purge-history --created-before=2030-01-01 --connection-string-setting S",
            "durable-ray purge --created-before 2030-01-01",
        ),
        ("durable get-history --id h-1", "durable-ray history h-1"),
        # What is called alike takes other options.
        ("terminate --id h-1 --reason over", "durable-ray terminate h-1 --reason over"),
        ("raise-event --id h-1 --event-name Go --event-data true", "durable-ray raise-event h-1 Go true"),
        ("rewind --id h-1", "durable-ray rewind h-1"),
        ("delete-task-hub --task-hub-name lab", "durable-ray delete-task-hub lab"),
    ],
)
def test_a_command_of_func_is_answered_with_the_right_one(still: Cli, typed: str, answered: str) -> None:
    said = " ".join(still.fails(2, *typed.split(), COLUMNS="300").replace("│", " ").split())
    assert f"here: {answered} " in said + " "


def test_it_is_said_once_and_shown_in_no_help(still: Cli) -> None:
    assert "start-new" not in still.ok("--help")
    assert "No such command" in still.fails(2, "durable", "fly")
    assert "No such option" in still.fails(2, "start", "hello", "--fly")
