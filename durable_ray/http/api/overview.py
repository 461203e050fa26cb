"""`/api/v1`: what is in the hub as a whole: counts, definitions, itself."""

from __future__ import annotations

from fastapi import APIRouter, Response

from durable_ray.actors.messages import PROTOCOL
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.json_views import counts_json
from durable_ray.http.answers import answer
from durable_ray.http.api.filters import FilterParams
from durable_ray.http.api.models import Count, Counts, Definitions, DefinitionShown, Hub
from durable_ray.http.api.services import Given, problems

router = APIRouter(tags=["hub"])


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
