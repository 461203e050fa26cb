"""`/api/v1`: what is in the hub as a whole: counts, definitions, itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from msgspec.structs import replace
from pydantic import Field

from durable_ray.actors.instances.status import moment
from durable_ray.actors.messages import PROTOCOL
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.json_views import counts_json
from durable_ray.http.answers import answer
from durable_ray.http.api.filters import FilterParams
from durable_ray.http.api.models import Count, Counts, Definitions, DefinitionShown, Hub, ResponseModel
from durable_ray.http.api.services import Given, problems

router = APIRouter(tags=["hub"])


class HistogramBin(ResponseModel):
    """How many instances of each status were created from `start` on; statuses that none has are left out."""

    start: datetime
    by_status: dict[str, int]


class CreatedHistogram(ResponseModel):
    """How many instances match, by status and by time of creation in equal bins; those that are empty are left out."""

    start: datetime | None = Field(description="Where the first bin begins; null if nothing matches.")
    end: datetime | None = Field(description="Where the last bin ends.")
    bin_seconds: float
    total: int
    by_status: dict[str, int]
    bins: list[HistogramBin]


@router.get("/hub", response_model=Hub)
async def get_hub(given: Given) -> Response:
    """Which hub this is."""
    return answer(Hub(hub=given.raw_hub.hub, protocol=PROTOCOL))


@router.get("/counts", response_model=Counts)
async def get_counts(given: Given) -> Response:
    """How many instances there are of each orchestrator and status; kept by the store, not counted."""
    return answer(counts_json(await given.raw_hub.ask(Registry.counts)))


@router.get("/count", response_model=Count, responses=problems(400))
async def count(given: Given, filters: FilterParams) -> Response:
    """How many instances match."""
    return answer(Count(count=await given.raw_hub.ask(Registry.count, filters)))


@router.get("/histogram", response_model=CreatedHistogram, responses=problems(400))
async def histogram(
    given: Given, filters: FilterParams, bins: Annotated[int, Query(ge=1, le=500, description="At most so many.")] = 48
) -> Response:
    """How many match, over the time in which they were created: of the filter, or else of the first and the last."""
    first, last = filters.created_from, filters.created_to
    light = replace(filters, payloads="none")
    if first is None:
        oldest = await given.raw_hub.ask(Registry.query, replace(light, descending=False), 1)
        first = oldest.rows[0].created_at if oldest.rows else None
    if last is None and first is not None:
        newest = await given.raw_hub.ask(Registry.query, replace(light, descending=True), 1)
        last = newest.rows[0].created_at if newest.rows else None
    if first is None or last is None or last < first:
        return answer(CreatedHistogram(start=None, end=None, bin_seconds=0, total=0, by_status={}, bins=[]))
    # Bounds are inclusive: the last microsecond is in a bin, too.
    width = -(-(last - first + 1) // bins)
    found = await given.raw_hub.ask(Registry.histogram, replace(light, created_from=first, created_to=last), width)
    by_bin: dict[int, dict[str, int]] = {}
    totals: dict[str, int] = {}
    for (at, status), n in sorted(found.items()):
        by_bin.setdefault(at, {})[status] = n
        totals[status] = totals.get(status, 0) + n
    shown = [HistogramBin(start=moment(first + at * width), by_status=found) for at, found in by_bin.items()]
    return answer(
        CreatedHistogram(
            start=moment(first),
            end=moment(first + bins * width),
            bin_seconds=width / 1_000_000,
            total=sum(totals.values()),
            by_status=totals,
            bins=shown,
        )
    )


@router.get("/definitions", response_model=Definitions)
async def get_definitions(given: Given) -> Response:
    """Everything that is deployed; never its code."""
    rows = await given.raw_hub.ask(Registry.definitions)
    newest = {(row.kind, row.name): row.revision for row in sorted(rows, key=lambda row: row.revision)}
    shown = [
        DefinitionShown(
            kind=row.kind,
            name=row.name,
            version=row.version,
            code_id=row.code_id,
            how=row.how,
            revision=row.revision,
            newest=newest[row.kind, row.name] == row.revision,
        )
        for row in rows
    ]
    return answer(Definitions(definitions=shown))
