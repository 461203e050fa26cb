"""The filter of `/api/v1`, in a query string and in a body, and the store's query that it means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator, Field, StrictBool, WithJsonSchema

from durable_ray.actors.instances.status import micros
from durable_ray.actors.store.records import InstanceQuery
from durable_ray.http.api.models import TAG_PATTERN, Moment, Name, RequestModel, StatusAsked, Text, storable
from durable_ray.orchestrations.values.ids import SCHEDULE_TAG, validate_tags


def _tag(text: str) -> str:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError("a tag is written key=value")
    validate_tags({key: value})
    return text


Tag = Annotated[str, AfterValidator(_tag), WithJsonSchema({"type": "string", "pattern": TAG_PATTERN})]

Prefix = Annotated[
    str,
    Field(min_length=1, max_length=4000),
    AfterValidator(storable),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 4000, "pattern": r"^[^\u0000]*$"}),
]


class Filter(RequestModel):
    """Which instances: all parts must hold, one of several statuses or names is enough. A list or prefix
    that is given is not empty: an empty one was hardly meant as all."""

    status: list[StatusAsked] = Field(default_factory=list, min_length=1, max_length=6)
    name: list[Name] = Field(default_factory=list, min_length=1, max_length=100)
    id_prefix: Prefix | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    updated_from: Moment | None = None
    updated_to: Moment | None = None
    tag: list[Tag] = Field(default_factory=list, min_length=1, max_length=20, description="`key=value`")
    parent_id: Text | None = None
    schedule_id: Text | None = Field(default=None, description="Runs of this schedule.")
    descending: StrictBool = False

    def query(self) -> InstanceQuery:
        """The store's query."""
        times = (self.created_from, self.created_to, self.updated_from, self.updated_to)
        since, until, updated_from, updated_to = (None if time is None else micros(time) for time in times)
        return InstanceQuery(
            created_from=since,
            created_to=until,
            updated_from=updated_from,
            updated_to=updated_to,
            statuses=tuple(self.status),
            names=tuple(self.name),
            id_prefix=self.id_prefix or "",
            tags=tags_of(self.tag) | ({} if self.schedule_id is None else {SCHEDULE_TAG: self.schedule_id}),
            parent_id=self.parent_id,
            descending=self.descending,
        )


def tags_of(pairs: Iterable[str]) -> dict[str, str]:
    """Tags that were checked, as a mapping."""
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


async def _from_query(
    status: Annotated[list[StatusAsked], Query(max_length=6)] = [],  # noqa: B006 - FastAPI copies it
    name: Annotated[list[Name], Query(max_length=100)] = [],  # noqa: B006
    id_prefix: Annotated[Prefix | None, Query()] = None,
    created_from: Annotated[Moment | None, Query()] = None,
    created_to: Annotated[Moment | None, Query()] = None,
    updated_from: Annotated[Moment | None, Query()] = None,
    updated_to: Annotated[Moment | None, Query()] = None,
    tag: Annotated[list[Tag], Query(max_length=20, description="`key=value`")] = [],  # noqa: B006
    parent_id: Annotated[Text | None, Query()] = None,
    schedule_id: Annotated[Text | None, Query(description="Runs of this schedule.")] = None,
    descending: bool = False,
) -> InstanceQuery:
    lists = {"status": status, "name": name, "tag": tag}
    return Filter(
        id_prefix=id_prefix,
        created_from=created_from,
        created_to=created_to,
        updated_from=updated_from,
        updated_to=updated_to,
        parent_id=parent_id,
        schedule_id=schedule_id,
        descending=descending,
        # A query string has no empty list: what is not there was left out.
        **{part: values for part, values in lists.items() if values},  # type: ignore[arg-type]
    ).query()


FilterParams = Annotated[InstanceQuery, Depends(_from_query)]
