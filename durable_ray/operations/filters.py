"""What users write to choose instances, and the query it means: one vocabulary for listing, counting, purging."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypedDict

from durable_ray.actors.status import RuntimeStatus, micros
from durable_ray.actors.store.records import InstanceQuery


class Filters(TypedDict, total=False):
    """The parts of a filter; all that are given must hold.

    Attributes:
        created_time_from, created_time_to: when the start was accepted; inclusive bounds (naive: UTC).
        last_updated_from, last_updated_to: when its last turn was committed; inclusive bounds.
        runtime_status: one of these (`RuntimeStatus` or its word); one or several.
        name: one of these orchestrators; one or several.
        instance_id_prefix: the beginning of the ID.
        tags: all of these labels.
        parent_instance_id: sub-orchestrations of this instance.
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
    descending: bool


def query_of(filters: Filters) -> InstanceQuery:
    """A filter as the registry understands it.

    Raises:
        TypeError: there is no such part.
        ValueError: a status that does not exist.

    Example:
        >>> query_of({"runtime_status": "Running", "name": ["a", "b"]}).names
        ('a', 'b')
    """
    unknown = filters.keys() - Filters.__annotations__.keys()
    if unknown:
        known = ", ".join(sorted(Filters.__annotations__))
        raise TypeError(f"no filter is called {', '.join(sorted(unknown))}; there are {known}")
    statuses, names = filters.get("runtime_status"), filters.get("name")
    return InstanceQuery(
        created_from=_micros(filters.get("created_time_from")),
        created_to=_micros(filters.get("created_time_to")),
        updated_from=_micros(filters.get("last_updated_from")),
        updated_to=_micros(filters.get("last_updated_to")),
        statuses=tuple(str(RuntimeStatus(status)) for status in _several(statuses)),
        names=tuple(_several(names)),
        id_prefix=filters.get("instance_id_prefix") or "",
        tags=dict(filters.get("tags") or {}),
        parent_id=filters.get("parent_instance_id"),
        descending=bool(filters.get("descending")),
    )


def _several(value: Iterable[str] | str | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _micros(when: datetime | None) -> int | None:
    return None if when is None else micros(when)
