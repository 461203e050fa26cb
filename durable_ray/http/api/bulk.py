"""`/api/v1/bulk`: the same thing done to many instances, named one by one or chosen by a filter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from durable_ray.actors.errors import DurableRayError
from durable_ray.http.answers import answer
from durable_ray.http.api.filters import Filter
from durable_ray.http.api.models import InstanceId, Name, RewindBody, Said, Started, StartManyBody, Text, Told
from durable_ray.http.api.services import Given, problems

router = APIRouter(prefix="/bulk", tags=["bulk"])

_MOST = 10_000
#: Requests to the hub under way at once for one bulk request; the hub groups their commits.
_AT_ONCE = 64
_ERRORS = problems(400, 409, 413, 415, 422)


class Chosen(Said):
    """Instances by ID."""

    instance_ids: list[InstanceId] = Field(max_length=_MOST)


class Matching(Said):
    """Instances by filter; an empty one means all. At most 10,000 at a time: repeat until `more` is false."""

    filter: Filter


Selection = Chosen | Matching


class BulkBody(Said):
    """Which instances, and why."""

    select: Selection
    reason: Text | None = None


class BulkRewindBody(RewindBody):
    """Which instances, why, and on which code."""

    select: Selection


class BulkEventBody(Said):
    """Which instances, and what to tell them."""

    select: Selection
    event_name: Name
    data: Any = None


class Refused(Told):
    """An instance to which it was not done, and why."""

    instance_id: str
    detail: str


class BulkResult(Told):
    """To how many it was done, to which not, and whether the filter matches more than were looked at."""

    done: int
    refused: list[Refused]
    more: bool


@router.post("/start", status_code=201, response_model=Started, responses=problems(400, 404, 409, 413, 415, 422))
async def start_many(body: StartManyBody, given: Given) -> Response:
    """Start one instance for each input, with one commit a host."""
    handles = await given.door.client.start_many(
        body.orchestrator,
        body.inputs,
        start_at=body.start_at,
        tags=body.tags,
        placement=body.placement,
        version=body.version,
    )
    return answer(Started(instance_ids=[handle.instance_id for handle in handles]), 201)


@router.post("/terminate", response_model=BulkResult, responses=_ERRORS)
async def terminate(body: BulkBody, given: Given) -> Response:
    """End them."""
    return await _each(given, body.select, lambda i: given.door.client.terminate(i, body.reason))


@router.post("/suspend", response_model=BulkResult, responses=_ERRORS)
async def suspend(body: BulkBody, given: Given) -> Response:
    """Pause them."""
    return await _each(given, body.select, lambda i: given.door.client.suspend(i, body.reason))


@router.post("/resume", response_model=BulkResult, responses=_ERRORS)
async def resume(body: BulkBody, given: Given) -> Response:
    """Let them go on."""
    return await _each(given, body.select, lambda i: given.door.client.resume(i, body.reason))


@router.post("/rewind", response_model=BulkResult, responses=_ERRORS)
async def rewind(body: BulkRewindBody, given: Given) -> Response:
    """Let failed ones run what failed again; with `version: latest` on their newest code."""
    return await _each(given, body.select, lambda i: given.door.client.rewind(i, body.reason, version=body.version))


@router.post("/events", response_model=BulkResult, responses=_ERRORS)
async def raise_events(body: BulkEventBody, given: Given) -> Response:
    """Send all of them an event."""
    return await _each(given, body.select, lambda i: given.door.client.raise_event(i, body.event_name, body.data))


@router.post("/purge", response_model=BulkResult, responses=_ERRORS)
async def purge(body: BulkBody, given: Given) -> Response:
    """Delete those that have finished; the others are refused."""

    async def delete(instance_id: str) -> None:
        if not await given.door.client.purge(instance_id):
            raise DurableRayError("it does not exist or has not finished")

    return await _each(given, body.select, delete)


async def _each(given: Given, select: Selection, act: Callable[[str], Awaitable[object]]) -> Response:
    ids, more = await _chosen(given, select)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(instance_id: str) -> Refused | None:
        async with gate:
            try:
                await act(instance_id)
            except DurableRayError as error:
                return Refused(instance_id=instance_id, detail=str(error))
            return None

    refused = [found for found in await asyncio.gather(*map(one, ids)) if found]
    return answer(BulkResult(done=len(ids) - len(refused), refused=refused, more=more))


async def _chosen(given: Given, select: Selection) -> tuple[list[str], bool]:
    if isinstance(select, Chosen):
        return list(dict.fromkeys(select.instance_ids)), False
    query, ids, token = select.filter.query(), list[str](), None
    while True:
        page = await given.door.query(query, min(1000, _MOST - len(ids)), token)
        ids += [row.instance_id for row in page.rows]
        token = page.token
        if token is None or len(ids) >= _MOST:
            return ids, token is not None
