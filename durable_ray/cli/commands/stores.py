"""Commands for a hub's store as a whole: back up, restore, audit. They open the store itself, on the machine that has it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from durable_ray.actors.instances.audit.findings import AuditFinding
from durable_ray.actors.instances.status import moment
from durable_ray.actors.store.copies.backups import back_up, backup_facts
from durable_ray.actors.store.copies.backups import restore as put_in_place
from durable_ray.actors.store.copies.sqlite_files import StoreCopy
from durable_ray.actors.store.urls import default_store, for_a_hub, shown_url
from durable_ray.cli.exits import Exit, one_line, usage
from durable_ray.cli.output import plain, print_facts, print_json, stamp, utc
from durable_ray.cli.session import CommandSession


def backup(
    session: CommandSession,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; nothing may be there.", show_default=False)],
) -> None:
    """Copy the hub's SQLite store to a file, while the hub runs or not. Run it on the machine that has the store.

    The copy has all that was acknowledged before. `durable-ray restore` puts it in place.
    """
    url = store_url(session, "backup")
    with busy(session, "copying"):
        made = back_up(url, file)
    _print(session, made, {"backup": str(file), "store": shown_url(url)})


def restore(
    session: CommandSession,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` has made.", show_default=False)],
    whole: Annotated[
        bool,
        typer.Option("--whole", help="The file is a store's own, its hub had been stopped and had left no -wal."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="The hub that it was made of does not run any more.")
    ] = False,
) -> None:
    """Put a backup in place as the hub's SQLite store; nothing may be there. What has happened since is forgotten.

    If the hub that the backup was made of still runs somewhere, both do the same work: stop it first.
    """
    url = store_url(session, "restore")
    found = backup_facts(file, whole=whole)
    if found.hub and found.hub != session.settings.hub:
        raise usage(f"this is a backup of the hub {found.hub!r}, not of {session.settings.hub!r}", f"--hub {found.hub}")
    if not yes:
        if session.json:
            raise usage("the hub that the backup was made of must not run any more", "--yes says so")
        session.err.print(
            f"the hub {found.hub} was last seen alive {_last_alive(found)} at {one_line(found.address)}; if it goes on there, "
            "both do the same work",
            markup=False,
            soft_wrap=True,
        )
        typer.confirm("does it not run any more?", abort=True, err=True)
    with busy(session, "copying"):
        made = put_in_place(file, url, whole=whole)
    _print(session, made, {"store": shown_url(url), "backup": str(file)})
    session.note("next: durable-ray up")


def migrate_store(
    session: CommandSession,
    target: Annotated[
        str,
        typer.Option(
            "--to",
            envvar="DURABLE_RAY_TARGET_STORE",
            show_envvar=False,
            help="URL of an empty database, or of a file that is not there. With a password: by DURABLE_RAY_TARGET_STORE.",
        ),
    ],
) -> None:
    """Move the hub's store to another database, SQLite to PostgreSQL or back. The hub must be stopped.

    All rows go, in one transaction; the old store says afterwards that it was moved, and no hub opens it.
    """
    from durable_ray.actors.store.copies.moving import move

    url, to = store_url(session, "migrate-store"), for_a_hub(target)
    with busy(session, "moving"):
        moved = move(url, to)
    if session.json:
        print_json({"store": shown_url(to), "was": shown_url(url), "rows": moved.rows})
        return
    facts = {"store": shown_url(to), "was": shown_url(url), "instances": str(moved.instances)}
    print_facts(session.out, [(name, plain(value)) for name, value in facts.items()])
    session.note("next: durable-ray up, with --store or DURABLE_RAY_STORE naming the new one")


def audit(
    session: CommandSession,
    mend: Annotated[bool, typer.Option("--mend", help="Mend what takes no guess; the hub must be stopped.")] = False,
    replay: Annotated[
        bool,
        typer.Option(help="Run each orchestrator over its history: this opens the code that is stored, as hosts do."),
    ] = True,
) -> None:
    """Check the whole store: histories, counters, messages, children, permits, payloads. Exit code 1: something is wrong.

    A hub may work on it meanwhile. Run it on the machine that has the store, with the code's modules importable.
    """
    from durable_ray.actors.instances.audit.auditing import audit as findings_of
    from durable_ray.actors.instances.audit.auditing import mend as mend_all

    url = store_url(session, "audit")
    with busy(session, "auditing"):
        found = list(findings_of(url, replay=replay))
        mended = mend_all(url, found) if mend and any(finding.changes for finding in found) else 0
    if session.json:
        print_json([_shown(finding, mended > 0) for finding in found])
    for finding in () if session.json else found:
        session.out.print(
            Text.assemble(
                *(("! ", "yellow") if finding.level == "warning" else ("✗ ", "red"),),
                (f"{one_line(finding.subject)}: ", "bold"),
                one_line(f"{finding.kind}: {finding.detail}"),
            ),
            soft_wrap=True,
        )
        then = (
            f"mended: {finding.mend}"
            if mended and finding.changes
            else finding.remedy or f"--mend would {finding.mend}"
        )
        session.out.print(Text(f"  → {one_line(then)}", "yellow"), soft_wrap=True)
    left = [finding for finding in found if finding.level == "problem" and not (mended and finding.changes)]
    session.note(
        f"{len(found)} findings, {len(found) - len(left)} of them mended or warnings" if found else "all is well"
    )
    if left:
        raise typer.Exit(Exit.FAILURE)


def _shown(finding: AuditFinding, mended: bool) -> dict[str, Any]:
    shown = {name: getattr(finding, name) for name in ("level", "kind", "subject", "detail", "remedy", "mend")}
    return {**shown, "mended": mended and bool(finding.changes)}


def store_url(session: CommandSession, what: str) -> str:
    """The URL of the store that the settings name, for a command that opens it. Raises CommandError over a gateway."""
    settings = session.settings
    if settings.url is not None:
        raise usage(
            f"{what} opens the store itself, which a gateway does not give away",
            "without --url (DURABLE_RAY_URL), on the machine that has the store",
        )
    return for_a_hub(settings.store or default_store(settings.hub))


def busy(session: CommandSession, what: str) -> Any:
    """A spinner, if a person watches."""
    return session.err.status(what) if session.lively else nullcontext()


def _last_alive(found: StoreCopy) -> str:
    return utc(moment(found.last_alive))


def _print(session: CommandSession, found: StoreCopy, where: dict[str, str]) -> None:
    if session.json:
        facts = {"hub": found.hub, "last_alive": stamp(moment(found.last_alive)), "instances": found.instances}
        print_json({**where, **facts, "unfinished": found.unfinished, "bytes": found.bytes})
        return
    numbers = f"{found.instances}, {found.unfinished} of them unfinished"
    facts = {
        **where,
        "hub": found.hub,
        "last alive": _last_alive(found),
        "instances": numbers,
        "bytes": f"{found.bytes:,}",
    }
    print_facts(session.out, [(name, plain(value)) for name, value in facts.items()])
