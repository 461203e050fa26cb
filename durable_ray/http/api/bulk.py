"""`/api/v1/bulk`: the same thing done to many instances, named one by one or chosen by a filter."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Response
from msgspec.structs import replace
from pydantic import Field, StrictBool

from durable_ray.actors.errors import DurableRayError, raise_for
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.operations.bulk import BulkAction, maker
from durable_ray.http.answers import answer
from durable_ray.http.api.filters import Filter
from durable_ray.http.api.models import (
    EventName,
    InstanceId,
    RequestModel,
    ResponseModel,
    RewindBody,
    StartedInstance,
    StartManyBody,
    Text,
)
from durable_ray.http.api.services import Given, problems

router = APIRouter(prefix="/bulk", tags=["bulk"])

_MOST = 10_000
#: Instances that go to the hub in one request.
_BATCH = 500
#: Purges of named instances under way at once.
_AT_ONCE = 64
_ERRORS = problems(400, 409, 413, 415, 422)


class Chosen(RequestModel):
    """Instances by ID."""

    instance_ids: list[InstanceId] = Field(max_length=_MOST)


class Matching(RequestModel):
    """Instances by filter; an empty one means all. At most 10,000 at a time: repeat with the
    `continuation_token` of the answer until `more` is false."""

    filter: Filter
    continuation_token: str | None = Field(
        default=None, description="Of the answer before, with the same filter: go on after those that it looked at."
    )


Selection = Chosen | Matching


class BulkBody(RequestModel):
    """Which instances, and why."""

    select: Selection
    reason: Text | None = None


class BulkRewindBody(RewindBody):
    """Which instances, why, and on which code."""

    select: Selection


class BulkPurgeBody(RequestModel):
    """Which instances, and whether their sub-orchestrations go with them."""

    select: Selection
    recursive: StrictBool = Field(default=False, description="Their finished sub-orchestrations too.")
    limit: int = Field(default=_MOST, ge=1, le=_MOST, description="With a filter: look at so many at most.")


class BulkEventBody(RequestModel):
    """Which instances, and what to tell them."""

    select: Selection
    event_name: EventName
    data: Any = None


class BulkRefusal(ResponseModel):
    """An instance to which it was not done, and why."""

    instance_id: str
    detail: str


class BulkResult(ResponseModel):
    """To how many it was done, to which not, and whether the filter matches more than were looked at: then the token leads on,
    past those that were refused, too."""

    done: int
    refused: list[BulkRefusal]
    more: bool
    continuation_token: str | None = Field(default=None, description="Only where there is more.")


@router.post(
    "/start", status_code=201, response_model=StartedInstance, responses=problems(400, 404, 409, 413, 415, 422)
)
async def start_many(body: StartManyBody, given: Given) -> Response:
    """Start one instance for each input, with one commit a host."""
    handles = await given.raw_hub.client.start_many(body.orchestrator, body.inputs, **body.keywords())
    return answer(StartedInstance(instance_ids=[handle.instance_id for handle in handles]), 201)


@router.post("/terminate", response_model=BulkResult, responses=_ERRORS)
async def terminate(body: BulkBody, given: Given) -> Response:
    """End them."""
    return await _each(given, body.select, "terminate", reason=body.reason)


@router.post("/suspend", response_model=BulkResult, responses=_ERRORS)
async def suspend(body: BulkBody, given: Given) -> Response:
    """Pause them."""
    return await _each(given, body.select, "suspend", reason=body.reason)


@router.post("/resume", response_model=BulkResult, responses=_ERRORS)
async def resume(body: BulkBody, given: Given) -> Response:
    """Let them go on."""
    return await _each(given, body.select, "resume", reason=body.reason)


@router.post("/rewind", response_model=BulkResult, responses=_ERRORS)
async def rewind(body: BulkRewindBody, given: Given) -> Response:
    """Let failed ones run what failed again; with `version: latest` on their newest code."""
    return await _each(given, body.select, "rewind", reason=body.reason, version=body.version)


@router.post("/events", response_model=BulkResult, responses=_ERRORS)
async def raise_events(body: BulkEventBody, given: Given) -> Response:
    """Send all of them an event."""
    return await _each(given, body.select, "raise_event", event_name=body.event_name, event_data=body.data)


@router.post("/purge", response_model=BulkResult, responses=_ERRORS)
async def purge(body: BulkPurgeBody, given: Given) -> Response:
    """Delete those that have finished: of a filter no others are meant, of IDs the others are refused."""
    if isinstance(body.select, Matching):
        return await _purge_matching(given, body.select, body.recursive, body.limit)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def refused(instance_id: str) -> BulkRefusal | None:
        async with gate:
            if await given.raw_hub.client.purge(instance_id, recursive=body.recursive):
                return None
        return BulkRefusal(instance_id=instance_id, detail="it does not exist or has not finished")

    ids = list(dict.fromkeys(body.select.instance_ids))
    outcomes = await asyncio.gather(*map(refused, ids))
    not_done = [outcome for outcome in outcomes if outcome]
    return _result(len(ids) - len(not_done), not_done)


async def _purge_matching(given: Given, select: Matching, recursive: bool, limit: int) -> Response:
    """Step by step: the registry deletes what it finds, so nothing that begins meanwhile is taken for it."""
    query, done, examined, token = select.filter.query(), 0, 0, select.continuation_token
    while True:
        size = min(_BATCH, limit - examined)
        page = await given.raw_hub.ask(Registry.purge_page, query, size, token, recursive)
        done, examined, token = done + page.deleted, examined + size, page.token
        if token is None or examined >= limit:
            return _result(done, [], token)


async def _each(
    given: Given,
    select: Selection,
    action: BulkAction,
    *,
    reason: str | None = None,
    event_name: str = "",
    event_data: Any = None,
    version: Literal["latest"] | None = None,
) -> Response:
    make = maker(action, reason, event_name, event_data)
    matched, token = await _chosen(given, select)
    refused: list[BulkRefusal] = []
    for at in range(0, len(matched), _BATCH):
        batch = matched[at : at + _BATCH]
        replies = await given.raw_hub.to_each(batch, make, reason, version)
        for (instance_id, _), reply in zip(batch, replies, strict=True):
            try:
                raise_for(instance_id, reply.code, reply.detail)
            except DurableRayError as error:
                refused.append(BulkRefusal(instance_id=instance_id, detail=str(error)))
    return _result(len(matched) - len(refused), refused, token)


def _result(done: int, refused: list[BulkRefusal], token: str | None = None) -> Response:
    result = BulkResult(done=done, refused=refused, more=token is not None, continuation_token=token)
    return answer(result.model_dump(exclude_none=True))


async def _chosen(given: Given, select: Selection) -> tuple[list[tuple[str, int | None]], str | None]:
    """Which instances, and the token that leads to more. Each has the time of its creation if it was matched, for another may
    get its ID meanwhile."""
    if isinstance(select, Chosen):
        return [(instance_id, None) for instance_id in dict.fromkeys(select.instance_ids)], None
    query, token = replace(select.filter.query(), payloads="none"), select.continuation_token
    matched: list[tuple[str, int | None]] = []
    while True:
        page = await given.raw_hub.ask(Registry.query, query, min(1000, _MOST - len(matched)), token)
        matched += [(row.instance_id, row.created_at) for row in page.rows]
        token = page.token
        if token is None or len(matched) >= _MOST:
            return matched, token
