"""Azure's `func durable` commands, answered with the command line that does the same here.

Nothing is run for them: what else differs (inputs are JSON, `purge` asks) is better seen before than after.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand

#: What an option of func's becomes: an option of ours, "" if it has no counterpart, or a positional argument.
_DROPPED = ""
_COMMON = {"--task-hub-name": "--hub", "--connection-string-setting": _DROPPED, "--connectionStringSetting": _DROPPED}
_WINDOW = {
    "--created-after": "--created-after",
    "--created-before": "--created-before",
    "--runtime-status": "--status",
}


@dataclass(frozen=True, slots=True)
class _Equivalent:
    """What one of func's commands is called here: `arguments` are its options that are positional here, in order."""

    command: str
    arguments: tuple[tuple[str, str, bool], ...] = ()
    options: tuple[tuple[str, str], ...] = ()


def _equivalent(command: str, *arguments: tuple[str, str, bool], **options: str) -> _Equivalent:
    return _Equivalent(
        command, arguments, tuple((f"--{name.replace('_', '-')}", ours) for name, ours in options.items())
    )


_ID = ("--id", "ID", True)
_FUNC = {
    "start-new": _equivalent("start", ("--function-name", "NAME", True), ("--input", "INPUT", False), id="--id"),
    "get-runtime-status": _equivalent("status", _ID, show_input=_DROPPED, show_output=_DROPPED),
    "get-history": _equivalent("history", _ID),
    "get-instances": _equivalent("list", top="--limit", continuation_token="--token"),
    "terminate": _equivalent("terminate", _ID, reason="--reason"),
    "raise-event": _equivalent("raise-event", _ID, ("--event-name", "EVENT", True), ("--event-data", "DATA", False)),
    "rewind": _equivalent("rewind", _ID, reason="--reason"),
    "purge-history": _equivalent("purge"),
    "delete-task-hub": _equivalent("delete-task-hub", ("--task-hub-name", "HUB", True)),
}


def translated(name: str, args: Sequence[str]) -> str:
    """The command line that does here what `func durable NAME ARGS` does.

    Example:
        >>> translated("get-runtime-status", ["--id", "order-1", "--show-output", "true"])
        'durable-ray status order-1'
    """
    equivalent = _FUNC[name]
    given, loose = _parsed(args)
    line = ["durable-ray", equivalent.command]
    for option, shown, needed in equivalent.arguments:
        if values := given.pop(option, None):
            line.append(values[0])
        elif loose:
            line.append(loose.pop(0))
        elif needed:
            line.append(shown)
    ours = _COMMON | _WINDOW | dict(equivalent.options)
    for option, values in given.items():
        called = ours.get(option, option)
        if called != _DROPPED:
            line += [called, ",".join(values)] if values else [called]
    return shlex.join([*line, *loose])


def _parsed(args: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options with their values (func takes several after one option), and what precedes the first of them."""
    given: dict[str, list[str]] = {}
    loose: list[str] = []
    values = loose
    for arg in args:
        if arg.startswith("--"):
            option, equals, value = arg.partition("=")
            values = given.setdefault(option, [])
            if equals:
                values.append(value)
        else:
            values.append(arg)
    return given, loose


class FuncAware(TyperCommand):
    """A command that, given options of func's, names its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        equivalent, given = _FUNC.get(str(self.name)), list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            known = (*equivalent.arguments, *equivalent.options) if equivalent else ()
            options = {option for option, *_ in known} | (set(_COMMON) if equivalent else set())
            wrong = getattr(error, "option_name", None)  # click's NoSuchOption, which typer has a copy of
            if wrong in options:
                ctx.fail(f"{wrong} is an option of func's; here: {translated(str(self.name), given)}")
            raise


def add_func_names(app: typer.Typer) -> None:
    """Let `app` answer the names that only func has."""
    loose = {"ignore_unknown_options": True, "allow_extra_args": True}

    def answer(context: typer.Context) -> None:
        name, args = str(context.info_name), list(context.args)
        if name == "durable":
            name, args = (args[0], args[1:]) if args else ("", [])
        if name not in _FUNC:
            context.fail(f"No such command {name!r}: func's commands are {', '.join(_FUNC)}")
        context.fail(f"{name} is a command of func's; here: {translated(name, args)}")

    for name in ("durable", *_FUNC):
        if name == "durable" or _FUNC[name].command != name:
            app.command(name, hidden=True, context_settings=loose, add_help_option=False)(answer)
