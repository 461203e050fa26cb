"""What every command shares: settings, a connection to the hub, consoles; and the options that set them.

The options are added to each command's signature, so they may stand before or behind the command and show in its help.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console

from durable_ray import __version__
from durable_ray.actors.store.records import InstanceQuery
from durable_ray.cli.commands.filters import FILTER_OPTIONS, make_filter
from durable_ray.cli.commands.schedule_options import SCHEDULE_OPTIONS, ScheduleParts, make_parts
from durable_ray.cli.exits import CommandError, Exit, problem_of
from durable_ray.cli.hub.port import HubPort
from durable_ray.config import ClientSettings

OpenHub = Callable[[ClientSettings], HubPort]

_PANEL = "Where and how"


@dataclass
class CommandSession:
    """One run of a command."""

    settings: ClientSettings
    open_hub: OpenHub
    json: bool = False
    debug: bool = False
    out: Console = field(default_factory=lambda: _output())
    err: Console = field(default_factory=lambda: Console(stderr=True))
    _hub: HubPort | None = None

    @property
    def hub(self) -> HubPort:
        """The hub; it is reached when it is first asked for."""
        if self._hub is None:
            self._hub = self.open_hub(self.settings)
        return self._hub

    @property
    def lively(self) -> bool:
        """Whether a person watches: spinners and bars make sense."""
        return self.err.is_terminal and not self.json

    def note(self, text: str) -> None:
        """Print a note on standard error."""
        if not self.json:
            self.err.print(text, style="dim", highlight=False, markup=False)


@dataclass
class Shared:
    """The options given before the command, and how hubs are opened (tests replace that)."""

    open_hub: OpenHub
    given: dict[str, Any] = field(default_factory=dict)


#: Columns of a table that goes into a pipe or file, where no terminal has an edge; no ID is broken there.
_PIPED = 240


def _output() -> Console:
    made = Console(soft_wrap=False)
    return made if made.is_terminal or "COLUMNS" in os.environ else Console(soft_wrap=False, width=_PIPED)


def _option(kind: Any, *names: str, text: str, env: str = "") -> Any:
    help_ = f"{text} [env: {env}]" if env else text
    return Annotated[kind, typer.Option(*names, help=help_.replace("[env", "\\[env"), rich_help_panel=_PANEL)]


def _print_version(asked: bool) -> None:
    if asked:
        # Ray's is read from its metadata: importing it takes a second.
        python = f"Python {platform.python_version()}"
        print(f"durable-ray {__version__} (Ray {importlib.metadata.version('ray')}, {python})")
        raise typer.Exit


_VERSION = Annotated[
    bool,
    typer.Option("--version", "-V", is_eager=True, callback=_print_version, help="Print the release, and Ray's."),
]
_Maybe = str | None
OPTIONS: dict[str, Any] = {
    "as_json": _option(bool, "--json", text="JSON on standard output, errors as JSON on standard error."),
    "address": _option(_Maybe, "--address", text="Ray cluster (host:port).", env="DURABLE_RAY_ADDRESS"),
    "hub": _option(_Maybe, "--hub", text="Task hub.", env="DURABLE_RAY_HUB"),
    "store": _option(
        _Maybe,
        "--store",
        text="sqlite:///path or postgresql://…; not with a password: all users of a machine see arguments.",
        env="DURABLE_RAY_STORE",
    ),
    "url": _option(_Maybe, "--url", text="HTTP gateway to use instead of Ray.", env="DURABLE_RAY_URL"),
    "key": _option(
        _Maybe,
        "--key",
        text="Key of the gateway; all users of the machine see arguments, so rather by",
        env="DURABLE_RAY_KEY",
    ),
    "debug": _option(bool, "--debug", text="Tracebacks."),
}
_DEFAULTS: dict[str, Any] = {"as_json": False, "debug": False}


def _parameters() -> list[inspect.Parameter]:
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, default=_DEFAULTS.get(name), annotation=annotation)
        for name, annotation in OPTIONS.items()
    ]


def _with_parameters(function: Callable[..., Any], parameters: list[inspect.Parameter], doc: str | None) -> Any:
    """Give a wrapper the signature that typer reads, in both ways in which its releases read it."""
    wrapper: Any = function
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    wrapper.__signature__ = inspect.Signature([context, *parameters])
    wrapper.__annotations__ = {p.name: p.annotation for p in [context, *parameters]}
    wrapper.__doc__ = doc
    return wrapper


def before_commands(function: Callable[[], None], open_hub: OpenHub) -> Callable[..., None]:
    """The options that precede a command."""

    def callback(context: typer.Context, *, version: bool = False, **given: Any) -> None:
        own = context.obj if callable(context.obj) else open_hub
        context.obj = Shared(own, {name: value for name, value in given.items() if value not in (None, False)})

    kind = inspect.Parameter.KEYWORD_ONLY
    own = inspect.Parameter("version", kind, default=False, annotation=_VERSION)
    return _with_parameters(callback, [own, *_parameters()], function.__doc__)  # type: ignore[no-any-return]


#: The options for which a parameter of such a type stands, and what makes one of them.
_GROUPS: dict[type, tuple[tuple[inspect.Parameter, ...], Callable[..., Any]]] = {
    InstanceQuery: (FILTER_OPTIONS, make_filter),
    ScheduleParts: (SCHEDULE_OPTIONS, make_parts),
}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function of `(session, ...)` a command: with the shared options, and its errors as one line.

    A parameter that is an `InstanceQuery` stands for the options of a filter, `ScheduleParts` for those of a schedule.
    """
    own = [*inspect.signature(function, eval_str=True).parameters.values()][1:]
    group = next((at for at, parameter in enumerate(own) if parameter.annotation in _GROUPS), None)
    made = "" if group is None else own[group].name
    options, make = ((), None) if group is None else _GROUPS[own[group].annotation]
    if group is not None:
        own[group : group + 1] = options

    @functools.wraps(function)
    def run(context: typer.Context, **given: Any) -> None:
        shared = {**context.obj.given, **{n: given[n] for n in OPTIONS if given[n] not in (None, False)}}
        for name in OPTIONS:
            del given[name]
        as_json, debug = bool(shared.pop("as_json", False)), bool(shared.pop("debug", False))
        try:
            session = CommandSession(ClientSettings(**shared), context.obj.open_hub, as_json, debug)
            if make is not None:
                given[made] = make(**{option.name: given.pop(option.name) for option in options})
            function(session, **given)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output has closed it (`durable-ray list | head`); Python would complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(Exit.OK) from None
        except Exception as error:
            if debug:
                traceback.print_exc()
            raise typer.Exit(report(problem_of(error), as_json=as_json)) from None

    return _with_parameters(run, [*own, *_parameters()], function.__doc__)  # type: ignore[no-any-return]


def report(problem: CommandError, *, as_json: bool) -> int:
    """Print an error on standard error; returns the exit code."""
    if as_json:
        document = {"error": str(problem), "hint": problem.hint, "exit_code": int(problem.code)}
        print(json.dumps(document), file=sys.stderr)
        return int(problem.code)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print("error: ", str(problem), sep="", style="red", markup=False)
    if problem.hint:
        console.print("hint:  ", problem.hint, sep="", style="yellow", markup=False)
    return int(problem.code)
