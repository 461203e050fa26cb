"""A history made readable: events with the time of their turn, without empty fields, named after what they answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from durable_ray.cli.hub.port import Happening

#: Says when the events after it happened, which they say themselves here.
_TURN = "TurnStarted"


def named_happenings(events: Iterable[tuple[datetime | None, str, Mapping[str, Any]]]) -> tuple[Happening, ...]:
    """Happenings from (time, type, fields)."""
    found: list[Happening] = []
    names: dict[int, str] = {}
    for at, kind, fields in events:
        if kind == _TURN:
            continue
        data = {key: value for key, value in fields.items() if value is not None and value not in ("", [], ())}
        data = {key: value for key, value in data.items() if value is not False}
        task_id, name = data.get("task_id"), str(data.get("name") or "")
        if isinstance(task_id, int):
            name = names.setdefault(task_id, name)
        found.append(Happening(at, kind, name, data))
    return tuple(found)
