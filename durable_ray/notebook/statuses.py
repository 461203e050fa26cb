"""Instances as HTML: one with all that is known of it, or many as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.instances.history_view import merged_history
from durable_ray.actors.instances.status import OrchestrationStatus
from durable_ray.notebook.failures import failure_html
from durable_ray.notebook.markup import badge, box, folded, lasting, muted, pairs, payload, table, text, title, when
from durable_ray.notebook.timeline import Span, spans_of, timeline_svg

#: Rows of a table, and things that are waited for, that are shown.
MAX_ROWS, _MAX_WAITS = 50, 5
COLUMNS = ("instance", "orchestrator", "status", "created", "took", "custom status", "note")


def status_html(status: OrchestrationStatus, entries: Sequence[Mapping[str, Any]] = (), children: str = "") -> str:
    """One instance: badge, what it waits for, failure, timeline, children.

    Args:
        entries: its history as `get_history` gives it, where that is known.
        children: its sub-orchestrations as HTML.
    """
    entries = entries or entries_of(status)
    version = muted(f"version {text(status.version)}") if status.version else ""
    parts = [
        title(badge(status.runtime_status), f"<b>{text(status.instance_id)}</b>", text(status.name), version),
        pairs(_facts(status, entries)),
    ]
    if status.failure is not None:
        parts.append(failure_html(status.failure))
    if picture := timeline_svg(entries):
        parts.append(picture)
    if children:
        parts.append(folded("sub-orchestrations", children))
    return box(*parts)


def entries_of(status: OrchestrationStatus) -> list[dict[str, Any]]:
    """The history of a status that has one, as `get_history` gives it, without what was put in and came out."""
    if status.history is None:
        return []
    return merged_history(status.history, PYTHON_PAYLOADS.decode, show_input=False)


def _facts(status: OrchestrationStatus, entries: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    yield "waits for", text(waits_for(status, entries))
    if status.parent_instance_id:
        yield "parent", text(status.parent_instance_id)
    yield "created", when(status.created_time)
    if status.completed_time is not None:
        yield "ended", f"{when(status.completed_time)}, after {took(status)}"
    elif status.scheduled_start is not None and status.started_time is None:
        yield "starts", when(status.scheduled_start)
    for name in ("input", "custom_status"):
        value = getattr(status, name)
        yield name.replace("_", " "), "" if value is None else payload(value)
    if status.failure is None and status.output is not None:
        yield "output", payload(status.output)
    if status.tags:
        yield "tags", text(", ".join(f"{key}={value}" for key, value in status.tags.items()))


def took(status: OrchestrationStatus) -> str:
    """How long it ran, or nothing if it has not ended."""
    if status.completed_time is None:
        return ""
    return lasting(status.completed_time - (status.started_time or status.created_time))


def waits_for(status: OrchestrationStatus, entries: Iterable[Mapping[str, Any]] = ()) -> str:
    """What an unfinished instance waits for, as far as status and history say; empty for one that has ended."""
    if status.runtime_status.finished:
        return ""
    said = [str(wait) for wait in status.waiting_for]
    if not said:
        said = [_named(span) for span in spans_of(entries) if span.end is None]
        said[:0] = [status.waiting_reason] if status.waiting_reason else []
    if len(said) > _MAX_WAITS:
        said[_MAX_WAITS:] = [f"{len(said) - _MAX_WAITS} more"]
    return "; ".join(said)


def _named(span: Span) -> str:
    return span.name if span.kind == "timer" else f"{span.kind} {span.name}"


def row_of(status: OrchestrationStatus) -> tuple[str, ...]:
    """The texts of one row of `COLUMNS`; the status is the third."""
    note = waits_for(status) if status.failure is None else str(list(status.failure.chain())[-1])
    custom = "" if status.custom_status is None else str(status.custom_status)
    created = when(status.created_time)
    return (status.instance_id, status.name, str(status.runtime_status), created, took(status), custom, note)


def statuses_html(statuses: Sequence[OrchestrationStatus], more: str = "") -> str:
    """Many instances as a table; `more`: text below it."""
    rows = []
    for status in statuses[:MAX_ROWS]:
        cells = [text(cell, 80) for cell in row_of(status)]
        cells[2] = badge(status.runtime_status)
        rows.append(cells)
    return table(COLUMNS, rows) + f"<div>{muted(text(counted(statuses, more)))}</div>"


def counted(statuses: Sequence[OrchestrationStatus], more: str = "") -> str:
    """How many instances these are, and how many of them are shown."""
    shown = f", {MAX_ROWS} shown" if len(statuses) > MAX_ROWS else ""
    return f"{len(statuses)} instance{'' if len(statuses) == 1 else 's'}{shown}{f'; {more}' if more else ''}"
