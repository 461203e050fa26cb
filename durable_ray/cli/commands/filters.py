"""The options by which commands choose instances; the same wherever there is a choice."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from durable_ray.actors.instances.status import micros
from durable_ray.actors.store.records import FINISHED, LIVE, InstanceQuery
from durable_ray.cli.exits import usage
from durable_ray.cli.hub.port import HubPort, InstanceView
from durable_ray.cli.inputs import tags as tags_of
from durable_ray.cli.inputs import when
from durable_ray.client.operations.bounds import through
from durable_ray.orchestrations.values.ids import SCHEDULE_TAG

_PANEL = "Which instances"
_PAGE = 500
_STATUSES = (*LIVE, *FINISHED)

StatusOption = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        "-s",
        metavar="[" + "|".join(_STATUSES) + "]",
        help="In this status, or in one of several: Completed,Failed. May be repeated.",
        rich_help_panel=_PANEL,
    ),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option("--name", "-n", help="Of this orchestrator; may be repeated.", rich_help_panel=_PANEL),
]
PrefixOption = Annotated[
    str | None, typer.Option("--prefix", help="Whose ID begins so.", rich_help_panel=_PANEL, show_default=False)
]
AfterOption = Annotated[
    str | None,
    typer.Option("--created-after", metavar="TIME", help="ISO 8601, or 2h: so long ago.", rich_help_panel=_PANEL),
]
BeforeOption = Annotated[
    str | None,
    typer.Option("--created-before", metavar="TIME", help="ISO 8601, or 7d: so long ago.", rich_help_panel=_PANEL),
]
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", "-t", metavar="KEY=VALUE", help="With this tag; may be repeated.", rich_help_panel=_PANEL),
]

ParentOption = Annotated[
    str | None,
    typer.Option("--parent", metavar="ID", help="Sub-orchestrations of this instance.", rich_help_panel=_PANEL),
]

ScheduleOption = Annotated[
    str | None,
    typer.Option("--schedule", metavar="ID", help="Runs of this schedule.", rich_help_panel=_PANEL),
]


def make_filter(
    status: StatusOption = None,
    name: NameOption = None,
    prefix: PrefixOption = None,
    created_after: AfterOption = None,
    created_before: BeforeOption = None,
    tag: TagOption = None,
    parent: ParentOption = None,
    schedule: ScheduleOption = None,
) -> InstanceQuery:
    """A filter from what was typed: a command that takes an `InstanceQuery` has these options instead."""
    if prefix == "":
        raise usage("--prefix is empty", "leave it out to choose all")
    return InstanceQuery(
        statuses=statuses_of(status or ()),
        names=tuple(name or ()),
        id_prefix=prefix or "",
        created_from=None if created_after is None else micros(when(created_after)),
        created_to=None if created_before is None else micros(through(when(created_before))),
        tags=tags_of(tag or ()) | ({} if schedule is None else {SCHEDULE_TAG: schedule}),
        parent_id=parent,
    )


FILTER_OPTIONS = tuple(inspect.signature(make_filter, eval_str=True).parameters.values())


def statuses_of(options: Sequence[str]) -> tuple[str, ...]:
    """The statuses of `--status` options, in any case; one option may name several, with commas or spaces between.

    Example:
        >>> statuses_of(["completed, Failed", "Failed"])
        ('Completed', 'Failed')
    """
    known = {status.lower(): status for status in _STATUSES}
    found: dict[str, None] = {}
    for option in options:
        for name in re.split(r"[,\s]+", option.strip(", \t\n")):
            if name.lower() not in known:
                raise usage(f"{name!r} is no status", f"write {', '.join(_STATUSES)}")
            found[known[name.lower()]] = None
    return tuple(found)


def page(hub: HubPort, wanted: InstanceQuery, size: int, token: str | None) -> tuple[list[InstanceView], str | None]:
    """At most `size` instances after `token`, and the token that leads on if there are more."""
    found: list[InstanceView] = []
    while True:
        more, token = hub.page(wanted, min(_PAGE, size - len(found)), token)
        found += more
        if token is None or len(found) >= size:
            return found, token


def matching(hub: HubPort, wanted: InstanceQuery, limit: int | None = None) -> Iterator[InstanceView]:
    """Instances, page by page."""
    token: str | None = None
    found = 0
    while limit is None or found < limit:
        page, token = hub.page(wanted, _PAGE if limit is None else min(_PAGE, limit - found), token)
        yield from page
        found += len(page)
        if token is None:
            return
