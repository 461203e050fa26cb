"""Commands that try code on histories before it is deployed: export them, replay them, check a module against a hub."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from msgspec.structs import asdict
from rich.text import Text

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.instances.audit.code_checks import JSON_ALONE, CodeCheck, check_code
from durable_ray.actors.instances.audit.exporting import ExportedHistory, NotExported, exported, read_histories
from durable_ray.actors.store.opening import open_store
from durable_ray.cli.commands.running import App, definitions_of
from durable_ray.cli.commands.stores import busy, store_url
from durable_ray.cli.exits import CommandError, Exit, one_line, usage
from durable_ray.cli.inputs import ids
from durable_ray.cli.output import print_json
from durable_ray.cli.session import CommandSession
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.engine.work import PayloadCodec

Strict = Annotated[
    bool, typer.Option("--strict", help="Exit code 1 also for those that keep the code they began with.")
]
_MARKS = {
    "ok": ("✓ ", "green"),
    "differs": ("! ", "yellow"),
    "keeps": ("! ", "yellow"),
    "absent": ("! ", "yellow"),
    "breaks": ("✗ ", "red"),
}


def export(
    session: CommandSession,
    instance_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]…", help="Which ones; `-` for IDs from stdin.", show_default=False),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Of all that have begun and not ended.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Not to standard output.")] = None,
) -> None:
    """Write histories as lines of JSON, for `replay` and `check`. They hold inputs and results: keep them as you keep those.

    Opens the store itself, on the machine that has it; a hub may work on it.
    """
    if bool(instance_ids) == live:
        raise usage("name instances, or say --live")
    with closing(open_store(store_url(session, "export"), create=False)) as store:
        found = exported(store, None if live else tuple(ids(instance_ids or ())))
        try:
            with out.open("x", encoding="utf-8") if out is not None else _standard_output() as file:
                for one in found:
                    file.write(one.to_json() + "\n")
        except LookupError as error:
            raise CommandError(Exit.NOT_FOUND, f"there is no instance {error.args[0]!r}", "durable-ray list") from error
        except FileExistsError as error:
            raise usage(f"there is a file {out} already, and nothing is overwritten") from error


def replay(
    session: CommandSession,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` has written.", show_default=False)],
    module: Annotated[str, typer.Option("--module", metavar="MODULE_OR_FILE", help="Where the orchestrators are.")],
    trust: Annotated[bool, typer.Option("--trust", help="Open pickled values, which may run any code.")] = False,
    strict: Strict = False,
) -> None:
    """Replay exported histories on a module's orchestrators. Exit code 1: one would break. Needs no hub and no store."""
    try:
        histories = list(read_histories(file.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise usage(f"{file} cannot be read: {error.strerror}") from error
    except NotExported as error:
        raise usage(f"{file}: {error}", "durable-ray export writes such a file") from error
    _try(session, module, histories, PYTHON_PAYLOADS if trust else JSON_ALONE, strict)


def check(session: CommandSession, module_or_file: App, strict: Strict = False) -> None:
    """Replay the histories of all unfinished instances on a module's orchestrators, before it is deployed.

    Says which would break, where, and how to go on. Exit code 1: one would. Opens the hub's store itself; deploys nothing.
    """
    url = store_url(session, "check")
    with closing(open_store(url, create=False)) as store:
        _try(session, module_or_file, exported(store), PYTHON_PAYLOADS, strict)


def _try(
    session: CommandSession, module: str, histories: Iterable[ExportedHistory], codec: PayloadCodec, strict: bool
) -> None:
    orchestrators: dict[tuple[str, str], Orchestrator[..., Any]] = {}
    for definition in definitions_of(module):
        if isinstance(definition, Orchestrator):
            orchestrators[definition.name, definition.version] = orchestrators[definition.name, ""] = definition
    if not orchestrators:
        raise usage(f"{module} has no orchestrators")
    with busy(session, "replaying"):
        found = list(check_code(histories, orchestrators, codec))
    if session.json:
        print_json([asdict(one) for one in found])
    else:
        for one in _first_of_each(found):
            _print(session, one, sum(_kind(other) == _kind(one) for other in found))
        session.note(
            f"replayed {len(found)} histories" if found else "there is nothing to replay: no instance is unfinished"
        )
    if any(one.verdict == "breaks" or (strict and one.verdict != "ok") for one in found):
        raise typer.Exit(Exit.FAILURE)


def _kind(one: CodeCheck) -> tuple[Any, ...]:
    return (one.verdict, one.name, one.version, one.event, one.detail)


def _first_of_each(found: Iterable[CodeCheck]) -> Iterator[CodeCheck]:
    """A thousand instances that break alike are one line."""
    seen: set[tuple[Any, ...]] = set()
    for one in found:
        if _kind(one) not in seen:
            seen.add(_kind(one))
            yield one


def _print(session: CommandSession, one: CodeCheck, number: int) -> None:
    what = f"{one.name} {one.version}".strip()
    who = one.instance_id if number == 1 else f"{number} instances, the first {one.instance_id}"
    line = Text.assemble(_MARKS[one.verdict], (f"{one_line(what)}: ", "bold"), f"{one.verdict} ({one_line(who)})")
    if one.detail:
        line.append(f" {one_line(one.detail)}")
    session.out.print(line, soft_wrap=True)
    if one.remedy:
        session.out.print(Text(f"  → {one_line(one.remedy)}", "yellow"), soft_wrap=True)


def _standard_output() -> AbstractContextManager[TextIO]:
    return nullcontext(sys.stdout)
