"""The options by which commands choose instances; the same wherever there is a choice."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from durable_ray.cli.hub import Filter, Hub, Instance
from durable_ray.cli.inputs import tags as tags_of
from durable_ray.cli.inputs import when

_PANEL = "Which instances"
_PAGE = 500


class StatusWord(enum.StrEnum):
    """What a filter may ask for."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TERMINATED = "Terminated"


StatusOption = Annotated[
    list[StatusWord] | None,
    typer.Option(
        "--status", "-s", case_sensitive=False, help="In this status; may be repeated.", rich_help_panel=_PANEL
    ),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option("--name", "-n", help="Of this orchestrator; may be repeated.", rich_help_panel=_PANEL),
]
PrefixOption = Annotated[str, typer.Option("--prefix", help="Whose ID begins so.", rich_help_panel=_PANEL)]
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


def make_filter(
    status: Sequence[StatusWord] | None,
    name: Sequence[str] | None,
    prefix: str,
    created_after: str | None,
    created_before: str | None,
    tag: Sequence[str] | None,
    parent: str | None = None,
    *,
    descending: bool = False,
) -> Filter:
    """A filter from what was typed."""
    return Filter(
        statuses=tuple(str(one) for one in status or ()),
        names=tuple(name or ()),
        prefix=prefix,
        created_from=None if created_after is None else when(created_after),
        created_to=None if created_before is None else when(created_before),
        tags=tags_of(tag or ()),
        parent=parent,
        descending=descending,
    )


def matching(hub: Hub, wanted: Filter, limit: int | None = None) -> Iterator[Instance]:
    """Instances, page by page."""
    token: str | None = None
    found = 0
    while limit is None or found < limit:
        page, token = hub.page(wanted, _PAGE if limit is None else min(_PAGE, limit - found), token)
        yield from page
        found += len(page)
        if token is None:
            return
