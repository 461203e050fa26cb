"""`/api/v1/schedules`: create, list, describe, change and delete schedules, and start their runs by hand."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from starlette.requests import Request

from durable_ray.client.schedule_documents import ScheduleQuery, known_schedule, schedule_json
from durable_ray.client.schedule_view import ScheduleDescription, ScheduleStatus
from durable_ray.http.answers import answer
from durable_ray.http.api.filters import Prefix, Tag, tags_of
from durable_ray.http.api.instances import Id
from durable_ray.http.api.models import Deleted
from durable_ray.http.api.schedule_models import (
    BackfillBody,
    NoteBody,
    ScheduleBody,
    ScheduleList,
    ScheduleShown,
    ScheduleUpdateBody,
    TriggerBody,
)
from durable_ray.http.api.services import Given, problems

router = APIRouter(prefix="/schedules", tags=["schedules"])

_BODY = (400, 413, 415, 422)


@router.post("", status_code=201, response_model=ScheduleShown, responses=problems(404, 409, *_BODY))
async def create_schedule(body: ScheduleBody, given: Given, request: Request) -> Response:
    """Start an orchestration at each time of a spec; the schedule is durable when this answers."""
    created = await given.raw_hub.create_schedule(body.schedule_id, body.schedule, body.paused, body.note)
    where = f"{request.scope.get('root_path', '')}/schedules/{quote(body.schedule_id, safe='')}"
    return answer(schedule_json(created), 201, {"Location": where})


@router.get("", response_model=ScheduleList, responses=problems(400, 409))
async def list_schedules(
    given: Given,
    id_prefix: Annotated[Prefix | None, Query()] = None,
    status: ScheduleStatus | None = None,
    tag: Annotated[list[Tag], Query(max_length=20, description="`key=value`")] = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    token: Annotated[str | None, Query(description="The `continuation_token` of the page before.")] = None,
) -> Response:
    """Schedules by ID: all, or those with this prefix, this status and all of these tags (of their runs)."""
    wanted = ScheduleQuery(id_prefix or "", status, tags_of(tag))
    found, following = await given.raw_hub.schedules(wanted, limit, token)
    return answer({"schedules": [schedule_json(one) for one in found], "continuation_token": following})


@router.get("/{schedule_id}", response_model=ScheduleShown, responses=problems(400, 404))
async def get_schedule(schedule_id: Id, given: Given) -> Response:
    """One schedule: what it is, its next times, its last runs with their outcome, and why times were skipped."""
    return _shown(await given.raw_hub.schedule(schedule_id))


@router.put("/{schedule_id}", response_model=ScheduleShown, responses=problems(404, 409, *_BODY))
async def update_schedule(schedule_id: Id, given: Given, body: ScheduleUpdateBody) -> Response:
    """Make it another schedule from now on; its runs, counts and pauses stay. 409 if it has another version by now."""
    return _shown(await given.raw_hub.update_schedule(schedule_id, body.schedule, body.version))


@router.delete("/{schedule_id}", response_model=Deleted, responses=problems(400, 404))
async def delete_schedule(schedule_id: Id, given: Given) -> Response:
    """Delete it. Runs under way go on, those that wait are not begun."""
    known_schedule(schedule_id)
    await given.raw_hub.client.delete_schedule(schedule_id)
    return answer(Deleted(deleted=1))


@router.post("/{schedule_id}/pause", response_model=ScheduleShown, responses=problems(404, 409, *_BODY))
async def pause_schedule(schedule_id: Id, given: Given, body: NoteBody | None = None) -> Response:
    """Let nothing be due until it is resumed. Runs under way go on."""
    known_schedule(schedule_id)
    return _shown(await given.raw_hub.client.pause_schedule(schedule_id, body.note if body else ""))


@router.post("/{schedule_id}/resume", response_model=ScheduleShown, responses=problems(404, 409, *_BODY))
async def resume_schedule(schedule_id: Id, given: Given, body: NoteBody | None = None) -> Response:
    """Let times be due again, from now on: those of the pause are not caught up."""
    known_schedule(schedule_id)
    return _shown(await given.raw_hub.client.resume_schedule(schedule_id, body.note if body else ""))


@router.post("/{schedule_id}/trigger", response_model=ScheduleShown, responses=problems(404, 409, *_BODY))
async def trigger_schedule(schedule_id: Id, given: Given, body: TriggerBody | None = None) -> Response:
    """Start a run now, paused or not. 409 if one is under way, and the overlap policy lets none begin or wait."""
    known_schedule(schedule_id)
    return _shown(await given.raw_hub.client.trigger_schedule(schedule_id, overlap=body.overlap if body else None))


@router.post("/{schedule_id}/backfill", response_model=ScheduleShown, responses=problems(404, 409, *_BODY))
async def backfill_schedule(schedule_id: Id, given: Given, body: BackfillBody) -> Response:
    """Run all times due in a span of the past, also those that were run; at most a thousand."""
    known_schedule(schedule_id)
    return _shown(await given.raw_hub.client.backfill_schedule(schedule_id, body.begin, body.end, overlap=body.overlap))


def _shown(found: ScheduleDescription) -> Response:
    return answer(schedule_json(found))
