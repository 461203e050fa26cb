"""One instance: what it is, what it waits for, what went in and out, why it failed; and its history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from durable_ray.http.answers import answer
from durable_ray.http.api.models import Failure, HistoryEntry, Instance
from durable_ray.page.api_client import segment
from durable_ray.page.rendering import brief
from durable_ray.page.visits import Visit

#: Rows of a history on one page: more would keep a browser busy for seconds.
_ROWS = 500
#: What every event has, or what says nothing to a reader.
_COMMON = frozenset({"index", "type", "at", "message_id", "execution_id", "code_id"})
_FINISHED = frozenset({"Completed", "Failed", "Terminated"})

#: What was done, as the address of the page says it after an action.
DONE = {
    "event": "The event was sent.",
    "suspend": "It is suspended: events are kept, its code takes no step.",
    "resume": "It goes on.",
    "terminate": "Its end was asked for.",
    "rewind": "It runs again from what failed.",
    "restart": "It was started.",
    "start": "It was started.",
}


async def show(visit: Visit) -> Response:
    """The instance."""
    instance = await visit.api.instance(visit.path("instance_id"))
    newest = await _newest_version(visit, instance)
    return visit.render(
        "instance.html",
        tab="overview",
        instance=instance,
        waits=waits_of(instance),
        failures=_chain(instance.failure),
        newest=newest,
        finished=instance.status in _FINISHED,
        done=DONE.get(visit.request.query_params.get("done", "")),
    )


async def history(visit: Visit) -> Response:
    """Its events as a table, those of some types or with some text."""
    instance_id = visit.path("instance_id")
    instance, found = await visit.api.instance(instance_id), await visit.api.history(instance_id)
    wanted, kind = visit.request.query_params.get("text", ""), visit.request.query_params.get("type", "")
    first = _first_row(visit.request.query_params.get("from", ""))
    matching = [
        entry for entry in found.events if (not kind or entry.type == kind) and wanted.casefold() in _searched(entry)
    ]
    shown = [(entry, details_of(entry)) for entry in matching[first : first + _ROWS]]
    return visit.render(
        "history.html",
        tab="history",
        instance=instance,
        finished=instance.status in _FINISHED,
        entries=shown,
        total=len(found.events),
        matching=len(matching),
        first=first,
        rows=_ROWS,
        types=sorted({entry.type for entry in found.events}),
        wanted=wanted,
        kind=kind,
    )


async def download(visit: Visit) -> Response:
    """The history as JSON, in a file."""
    found = await visit.api.history(visit.path("instance_id"))
    name = segment(f"{found.instance_id}.history.json")
    headers = {"content-disposition": f"attachment; filename=\"history.json\"; filename*=UTF-8''{name}"}
    return answer(found.model_dump(), headers=headers)


def waits_of(instance: Instance) -> list[tuple[str, Any]]:
    """What it waits for: in words, and since when."""
    found = [(wait.text, wait.since) for wait in getattr(instance, "waiting_for", None) or ()]
    if instance.waiting_reason:
        found.insert(0, (instance.waiting_reason, None))
    return found


def details_of(entry: HistoryEntry) -> dict[str, Any]:
    """What an event says beside its type and time, without what is empty."""
    fields = entry.model_extra or {}
    return {
        name: value for name, value in fields.items() if name not in _COMMON and value not in (None, "", [], {}, False)
    }


def _searched(entry: HistoryEntry) -> str:
    return f"{entry.type} {brief(entry.model_extra or {}, 1_000_000)}".casefold()


def _first_row(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _chain(failure: Failure | None) -> list[Failure]:
    """A failure and what caused it, in that order."""
    found = []
    while failure is not None:
        found.append(failure)
        failure = failure.cause
    return found


async def _newest_version(visit: Visit, instance: Instance) -> str | None:
    """The version that new instances of its orchestrator get, if that is another one."""
    definitions: Iterable[Any] = (await visit.api.definitions()).definitions
    newest = [
        each.version
        for each in definitions
        if each.kind == "orchestrator" and each.name == instance.name and each.newest
    ]
    return newest[0] if newest and newest[0] != instance.version else None
