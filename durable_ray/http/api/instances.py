"""`/api/v1/instances`: start, list, get and control instances."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Path, Query, Response
from msgspec.structs import replace
from starlette.requests import Request

from durable_ray.actors.errors import InvalidState
from durable_ray.actors.instances.waits import waits_of
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.json_views import history_json, instance_json
from durable_ray.client.raw_hub import existing
from durable_ray.http.answers import answer, empty
from durable_ray.http.api.filters import FilterParams
from durable_ray.http.api.models import (
    ID_PATTERN,
    Deleted,
    EventName,
    History,
    Instance,
    InstanceList,
    ReasonBody,
    RestartBody,
    RewindBody,
    StartBody,
    StartedInstance,
    TerminateBody,
)
from durable_ray.http.api.services import Given, problems

router = APIRouter(prefix="/instances", tags=["instances"])

_BODY = (400, 413, 415, 422)
#: What may be no ID at all is looked up like any other, and not found.
Id = Annotated[str, Path(json_schema_extra={"minLength": 1, "maxLength": 256, "pattern": ID_PATTERN})]
EventNameInPath = Annotated[EventName, Path()]


@router.post("", status_code=201, response_model=StartedInstance, responses=problems(404, 409, *_BODY))
async def start(body: StartBody, given: Given, request: Request) -> Response:
    """Start an orchestration; it is durable when this answers."""
    handle = await given.raw_hub.client.start_new(
        body.orchestrator, body.input, instance_id=body.instance_id, **body.keywords()
    )
    where = f"{request.scope.get('root_path', '')}/instances/{quote(handle.instance_id, safe='')}"
    return answer(StartedInstance(instance_ids=[handle.instance_id]), 201, {"Location": where})


@router.get("", response_model=InstanceList, responses=problems(400, 409))
async def list_instances(
    given: Given,
    filters: FilterParams,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    token: Annotated[str | None, Query(description="The `continuation_token` of the page before.")] = None,
    show_payloads: Annotated[bool, Query(description="With input and output.")] = True,
) -> Response:
    """Instances in the order in which they were created; fewer than `limit` where their payloads are large."""
    page = await given.raw_hub.ask(
        Registry.query, replace(filters, payloads="all" if show_payloads else "none"), limit, token
    )
    shown = [instance_json(row, payloads=show_payloads) for row in page.rows]
    return answer({"instances": shown, "continuation_token": page.token})


@router.get("/{instance_id}", response_model=Instance, responses=problems(400, 404, 429))
async def get_instance(
    instance_id: Id,
    given: Given,
    request: Request,
    wait: Annotated[float, Query(ge=0, le=600, allow_inf_nan=False, description="Seconds to wait for its end.")] = 0,
    show_payloads: bool = True,
) -> Response:
    """One instance; with `wait` as soon as it has ended, or as it stands when the time is over."""
    existing(instance_id)
    if wait:
        with given.waits.one_more(request.scope):
            await given.raw_hub.wait(instance_id, min(wait, given.settings.max_wait))
    facts = await given.raw_hub.waiting(instance_id, "all" if show_payloads else "none")
    return answer(instance_json(facts.loaded.row, payloads=show_payloads, waiting_for=waits_of(facts)))


@router.delete("/{instance_id}", response_model=Deleted, responses=problems(400, 404, 409))
async def purge(
    instance_id: Id, given: Given, recursive: Annotated[bool, Query(description="Its sub-orchestrations too.")] = False
) -> Response:
    """Delete a finished instance and its history. 409 for one that runs: terminate it first."""
    row = await given.raw_hub.row(instance_id)
    if not row.finished:
        raise InvalidState(f"instance {instance_id!r} has not finished ({row.status}): terminate it first")
    return answer(Deleted(deleted=await given.raw_hub.client.purge(instance_id, recursive=recursive)))


@router.get("/{instance_id}/history", response_model=History, responses=problems(400, 404))
async def get_history(instance_id: Id, given: Given) -> Response:
    """Every event of its current execution."""
    row, events = await given.raw_hub.with_history(instance_id)
    shown = {"instance_id": row.instance_id, "execution_id": row.execution_id, "events": history_json(events)}
    return answer(shown)


@router.post(
    "/{instance_id}/events/{event_name}", status_code=202, response_class=Response, responses=problems(404, 409, *_BODY)
)
async def raise_event(
    instance_id: Id, event_name: EventNameInPath, given: Given, data: Annotated[Any, Body()] = None
) -> Response:
    """Send it an event, with the body as its data; durable when this answers."""
    existing(instance_id)
    await given.raw_hub.client.raise_event(instance_id, event_name, data)
    return empty(202)


@router.post("/{instance_id}/terminate", status_code=202, response_class=Response, responses=problems(404, 409, *_BODY))
async def terminate(instance_id: Id, given: Given, body: TerminateBody | None = None) -> Response:
    """End it; `reason` becomes its output."""
    existing(instance_id)
    how = body or TerminateBody()
    await given.raw_hub.client.terminate(
        instance_id, how.reason, recursive=how.recursive, cancel_activities=how.cancel_activities
    )
    return empty(202)


@router.post("/{instance_id}/suspend", status_code=202, response_class=Response, responses=problems(404, 409, *_BODY))
async def suspend(instance_id: Id, given: Given, body: ReasonBody | None = None) -> Response:
    """Pause it: events and results are kept, its code takes no step."""
    existing(instance_id)
    await given.raw_hub.client.suspend(instance_id, body.reason if body else None)
    return empty(202)


@router.post("/{instance_id}/resume", status_code=202, response_class=Response, responses=problems(404, 409, *_BODY))
async def resume(instance_id: Id, given: Given, body: ReasonBody | None = None) -> Response:
    """Let it go on."""
    existing(instance_id)
    await given.raw_hub.client.resume(instance_id, body.reason if body else None)
    return empty(202)


@router.post("/{instance_id}/rewind", status_code=202, response_class=Response, responses=problems(404, 409, *_BODY))
async def rewind(instance_id: Id, given: Given, body: RewindBody | None = None) -> Response:
    """Let a failed one run what failed again; with `version: latest` on its newest code, or not at all (409)."""
    existing(instance_id)
    how = body or RewindBody()
    await given.raw_hub.client.rewind(instance_id, how.reason, version=how.version)
    return empty(202)


@router.post(
    "/{instance_id}/restart", status_code=201, response_model=StartedInstance, responses=problems(404, 409, *_BODY)
)
async def restart(instance_id: Id, given: Given, body: RestartBody | None = None) -> Response:
    """Start its orchestrator with its input once more."""
    existing(instance_id)
    fresh = (body or RestartBody()).new_instance_id
    handle = await given.raw_hub.client.restart(instance_id, restart_with_new_instance_id=fresh)
    return answer(StartedInstance(instance_ids=[handle.instance_id]), 201)
