"""Filters of instances as keyword arguments, and the store query they mean: for listing, counting, purging."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypedDict

from durable_ray.actors.instances.status import RuntimeStatus, micros
from durable_ray.actors.store.records import InstanceQuery
from durable_ray.orchestrations.values.ids import SCHEDULE_TAG, validate_tags


class Filters(TypedDict, total=False):
    """The parts of a filter; all that are given must hold.

    None is as left out. An empty text, mapping or list is refused: whoever computed one hardly means all instances. `purge_by`
    and `bulk` also refuse filters of which all that were given are None; call them without any to mean all.

    Attributes:
        created_time_from, created_time_to: when the start was accepted; inclusive bounds (naive: UTC).
        last_updated_from, last_updated_to: when its last turn was committed; inclusive bounds.
        runtime_status: one of these (`RuntimeStatus` or its value); one or several.
        name: one of these orchestrators; one or several.
        instance_id_prefix: the beginning of the ID.
        tags: all of these labels.
        parent_instance_id: sub-orchestrations of this instance.
        schedule_id: runs of this schedule.
        descending: newest first.
    """

    created_time_from: datetime | None
    created_time_to: datetime | None
    last_updated_from: datetime | None
    last_updated_to: datetime | None
    runtime_status: Iterable[RuntimeStatus | str] | RuntimeStatus | str | None
    name: Iterable[str] | str | None
    instance_id_prefix: str | None
    tags: Mapping[str, str] | None
    parent_instance_id: str | None
    schedule_id: str | None
    descending: bool


def query_of(filters: Filters) -> InstanceQuery:
    """A filter as the registry understands it.

    Raises:
        TypeError: there is no such part, or its value is of another type.
        ValueError: a status that does not exist, none of several, or nothing where something must be.

    Example:
        >>> query_of({"runtime_status": "Running", "name": ["a", "b"]}).names
        ('a', 'b')
    """
    unknown = filters.keys() - Filters.__annotations__.keys()
    if unknown:
        known = ", ".join(sorted(Filters.__annotations__))
        raise TypeError(f"no filter is called {', '.join(sorted(unknown))}; there are {known}")
    statuses = [_status(status) for status in _several("runtime_status", filters.get("runtime_status"))]
    return InstanceQuery(
        created_from=_micros("created_time_from", filters.get("created_time_from")),
        created_to=_micros("created_time_to", filters.get("created_time_to")),
        updated_from=_micros("last_updated_from", filters.get("last_updated_from")),
        updated_to=_micros("last_updated_to", filters.get("last_updated_to")),
        statuses=tuple(statuses),
        names=tuple(_several("name", filters.get("name"))),
        id_prefix=_prefix(filters.get("instance_id_prefix")),
        tags=_tags(filters.get("tags")) | _runs_of(filters.get("schedule_id")),
        parent_id=_text("parent_instance_id", filters.get("parent_instance_id")),
        descending=_flag("descending", filters.get("descending")),
    )


def _runs_of(schedule_id: object) -> dict[str, str]:
    return {} if schedule_id is None else {SCHEDULE_TAG: _text("schedule_id", schedule_id) or ""}


def acting_query_of(filters: Filters) -> InstanceQuery:
    """As `query_of`, for what deletes or changes all that match.

    Raises:
        TypeError, ValueError: as `query_of`; filters were given and none of them says anything.
    """
    query = query_of(filters)
    # A status has a default of its own in such actions, and an order chooses nothing.
    given = filters.keys() - {"runtime_status", "descending"}
    if given and all(filters.get(part) is None for part in (*given, "runtime_status")):
        raise ValueError(f"no filter says anything: {', '.join(sorted(given))} = None; leave them out to choose all")
    return query


def _prefix(value: object) -> str:
    if value == "":
        raise ValueError("instance_id_prefix is empty; leave it out to choose all")
    return _text("instance_id_prefix", value) or ""


def _tags(value: object) -> dict[str, str]:
    found = validate_tags(value)
    if value is not None and not found:
        raise ValueError("tags names none; leave it out to choose all")
    return found


def _several(part: str, value: object) -> list[str]:
    if value is None:
        return []
    found = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not found:
        # Whoever computed an empty list hardly means all: a purge or a termination of everything would follow.
        raise ValueError(f"{part} names none of several; leave it out to choose all")
    return [_text(part, one) or "" for one in found]


def _text(part: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{part} is a text, not {value!r}")


def _status(status: str) -> str:
    if status not in tuple(RuntimeStatus):
        raise ValueError(f"no runtime status is called {status!r}; there are {', '.join(RuntimeStatus)}")
    return str(RuntimeStatus(status))


def _flag(part: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise TypeError(f"{part} is True or False, not {value!r}")


def _micros(part: str, when: object) -> int | None:
    if when is None:
        return None
    if not isinstance(when, datetime):
        raise TypeError(f"{part} is a datetime, not {when!r}")
    return micros(when)
