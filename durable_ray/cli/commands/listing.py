"""Commands that list: instances, their counts, deployed definitions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from msgspec.structs import replace
from rich import box
from rich.table import Table

from durable_ray.actors.store.records import InstanceQuery
from durable_ray.cli.commands.filters import (
    matching,
    page,
)
from durable_ray.cli.exits import usage
from durable_ray.cli.output import as_json, counts_table, instances_table, plain, print_json
from durable_ray.cli.session import CommandSession
from durable_ray.client.json_views import counts_json


def list_(
    session: CommandSession,
    wanted: InstanceQuery,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, help="At most so many.")] = 100,
    token: Annotated[
        str | None, typer.Option("--token", metavar="TOKEN", help="The page after the one that gave this token.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="All that match, however many.")] = False,
    only_ids: Annotated[
        bool, typer.Option("--ids", "-q", help="IDs only, one a line: to pipe into other commands.")
    ] = False,
) -> None:
    """List instances, oldest first by default.

    If there are more than were asked for, the token of the next page is printed on standard error; with --token and --json it
    is in the document ("" begins with the first page).

    Example: durable-ray list --status Failed,Terminated --created-after 1d --ids | durable-ray rewind -
    """
    if everything and token is not None:
        raise usage("--all lists everything: it goes without --token")
    wanted = replace(wanted, descending=newest)
    following: str | None = None
    if everything:
        shown = list(matching(session.hub, wanted))
    else:
        shown, following = page(session.hub, wanted, limit, token or None)
    if only_ids:
        for one in shown:
            print(one.instance_id)
    elif session.json:
        instances = [as_json(one) for one in shown]
        print_json(instances if token is None else {"instances": instances, "continuation_token": following})
    elif shown:
        session.out.print(instances_table(shown, session.out.width))
    else:
        session.note("no instances" + (" match" if wanted != InstanceQuery() else ""))
    if following is not None and (token is None or not session.json):
        hint = f"there are more than {limit}; --all shows them, --limit more of them, --token {following} the next"
        session.err.print(hint, style="dim", soft_wrap=True, markup=False, highlight=False)


def count(
    session: CommandSession,
    wanted: InstanceQuery,
) -> None:
    """Count instances: those that match, or without a filter all, by orchestrator and status."""
    if wanted != InstanceQuery():
        number = session.hub.count(wanted)
        if session.json:
            print_json({"count": number})
        else:
            print(number)
        return
    counts = session.hub.counts()
    if session.json:
        print_json(counts_json(counts))
    elif any(counts.values()):
        session.out.print(counts_table(counts))
    else:
        session.note("no instances")


def definitions(session: CommandSession) -> None:
    """List what is deployed: the orchestrators and activities that the hub knows."""
    found = sorted(session.hub.definitions(), key=lambda one: (one.kind != "orchestrator", one.name, one.version))
    if session.json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        session.note("nothing is deployed; durable-ray deploy FILE")
        return
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "version", "code", "how"):
        made.add_column(column, overflow="fold", no_wrap=column != "name")
    for one in found:
        made.add_row(one.kind, plain(one.name), plain(one.version), one.code_id[:12], one.how)
    session.out.print(made)
