"""How a command ends when it does not end well: an exit code that scripts can use, one line, and a hint what to do."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_settings import SettingsError

from durable_ray.actors import errors
from durable_ray.actors.store.contract import HubInUse, InvalidToken, StoreError
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.values.ids import InvalidEventName, InvalidInstanceId, InvalidLabel
from durable_ray.orchestrations.values.payloads import PayloadError


class Exit(enum.IntEnum):
    """The exit codes; stable, documented in docs/cli.md."""

    OK = 0
    #: Something else went wrong; or `doctor` found a problem.
    FAILURE = 1
    #: The command line makes no sense (also: bad JSON, a bad time, a bad ID, a schedule that cannot be).
    USAGE = 2
    #: No such instance, definition or schedule.
    NOT_FOUND = 3
    #: It is not in a state for this: the ID is taken, it has finished, it is suspended already.
    CONFLICT = 4
    #: Ray, the hub or the gateway did not answer.
    UNAVAILABLE = 5
    #: The awaited instance failed or was terminated.
    FAILED = 6
    #: The awaited instance has not ended in time; it goes on.
    TIMEOUT = 7
    #: The gateway refuses the key.
    REFUSED = 8
    INTERRUPTED = 130


class CommandError(Exception):
    """An error that a command prints instead of a traceback."""

    def __init__(self, code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def usage(message: str, hint: str = "") -> CommandError:
    """The command line makes no sense."""
    return CommandError(Exit.USAGE, message, hint)


@dataclass(frozen=True, slots=True)
class _Rule:
    kinds: tuple[type[BaseException], ...]
    code: Exit
    hint: str = ""


#: What the extra `http` installs.
_HTTP_EXTRA = frozenset({"fastapi", "starlette", "uvicorn", "httpx"})

#: The first that fits decides.
_RULES = (
    _Rule(
        (errors.InstanceAlreadyExists,), Exit.CONFLICT, "--if-exists use_existing | terminate_existing, or another --id"
    ),
    _Rule((errors.InstanceNotFound,), Exit.NOT_FOUND, "durable-ray list shows what there is"),
    _Rule((errors.UnknownDefinition,), Exit.NOT_FOUND, "durable-ray deploy FILE, then durable-ray definitions"),
    _Rule((errors.ScheduleNotFound,), Exit.NOT_FOUND, "durable-ray schedule list shows what there is"),
    _Rule((errors.ScheduleAlreadyExists,), Exit.CONFLICT, "durable-ray schedule update changes it"),
    _Rule((errors.ScheduleChanged,), Exit.CONFLICT, "durable-ray schedule describe ID shows what it is now"),
    _Rule((errors.DamagedHistory,), Exit.FAILURE, "durable-ray status ID still shows how it stands"),
    _Rule((errors.HistoryMismatch,), Exit.CONFLICT, "without --latest it goes on with the code it began with"),
    _Rule((errors.InstanceFinished, errors.InvalidState), Exit.CONFLICT, "durable-ray status ID shows how it stands"),
    _Rule((errors.OrchestrationEnded,), Exit.FAILED, "durable-ray history ID shows what happened"),
    _Rule((HubInUse,), Exit.UNAVAILABLE, "name its cluster: --address, or DURABLE_RAY_ADDRESS"),
    _Rule((errors.ProtocolMismatch,), Exit.UNAVAILABLE),
    _Rule((errors.HubUnavailable, ConnectionError), Exit.UNAVAILABLE, "durable-ray doctor tells what is missing"),
    _Rule((TimeoutError,), Exit.TIMEOUT, "it goes on; wait longer with --timeout, or look: durable-ray watch ID"),
    _Rule(
        (
            InvalidInstanceId,
            InvalidEventName,
            InvalidLabel,
            InvalidSchedule,
            PayloadError,
            SettingsError,
            InvalidToken,
        ),
        Exit.USAGE,
    ),
    _Rule((StoreError,), Exit.UNAVAILABLE, "durable-ray doctor looks at the store"),
)


def problem_of(error: BaseException) -> CommandError:
    """Any error as a `CommandError`. Its message stays; exit code and hint come from its class."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, ValidationError):
        return usage("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
    message = one_line(str(error)) or type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name in _HTTP_EXTRA:
        return CommandError(Exit.FAILURE, message, "pip install 'durable-ray[http]'")
    for rule in _RULES:
        if isinstance(error, rule.kinds):
            return CommandError(rule.code, message, rule.hint)
    return CommandError(Exit.FAILURE, f"{type(error).__name__}: {message}", "--debug shows where")


def one_line(text: str) -> str:
    """A text without its line breaks and control characters: it may come from anybody, and is shown in a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


Report = Callable[[CommandError], None]
