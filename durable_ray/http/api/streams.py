"""Server-sent events: an instance's status changes and new history as they happen, or the changes of all instances.

A stream can be taken up where it broke: history events carry IDs, and browsers send the last one back themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from durable_ray.actors.messages import Ending
from durable_ray.actors.store.records import InstanceRow
from durable_ray.http.answers import written
from durable_ray.http.api.instances import Id
from durable_ray.http.api.services import Given, Services, problems
from durable_ray.http.api.views import entries_of, instance_of
from durable_ray.http.watch import Listener

router = APIRouter(tags=["streams"])

_STREAM = "text/event-stream"
_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events", "content": {_STREAM: {"schema": {"type": "string"}}}}
}


@router.get("/instances/{instance_id}/stream", response_class=Response, responses={**_SHOWN, **problems(400, 404)})
async def follow(
    instance_id: Id, given: Given, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """`status` (the instance without its payloads), `history` (one event each), and at last `end`."""
    row = await given.row(instance_id)
    return StreamingResponse(_instance(given, row, last_event_id or ""), media_type=_STREAM)


@router.get("/stream", include_in_schema=False)
async def follow_all(given: Given) -> StreamingResponse:
    """`status` for every instance that changes, without end. Left out of the document: no client generator reads it."""
    return StreamingResponse(_all(given), media_type=_STREAM)


async def _all(given: Services) -> AsyncIterator[bytes]:
    yield b": following\n\n"
    with given.watch.listen() as listener:
        while True:
            rows = await listener.rows(given.settings.stream_heartbeat)
            for row in rows:
                yield _event("status", instance_of(row, payloads=False))
            if not rows:
                yield b": alive\n\n"


async def _instance(given: Services, row: InstanceRow, last_id: str) -> AsyncIterator[bytes]:
    instance_id = row.instance_id
    execution, _, seen = last_id.rpartition("/")
    sent = int(seen) + 1 if execution == row.execution_id and seen.isdecimal() else 0
    ended = asyncio.ensure_future(given.door.wait(instance_id, given.settings.max_wait))
    try:
        with given.watch.listen(instance_id) as listener:
            while True:
                found = await given.door.with_history(instance_id)
                if found is None:
                    yield _event("end", {"instance_id": instance_id, "status": "purged"})
                    return
                fresh, events = found
                if fresh.execution_id != row.execution_id:
                    sent = 0
                row = fresh
                yield _event("status", instance_of(row, payloads=False))
                for entry in entries_of(events)[sent:]:
                    yield _event("history", entry, f"{row.execution_id}/{entry.index}")
                sent = len(events)
                if row.finished:
                    yield _event("end", instance_of(row))
                    return
                while not await _news(listener, ended, given.settings.stream_heartbeat):
                    yield b": alive\n\n"
    finally:
        ended.cancel()


async def _news(listener: Listener, ended: asyncio.Future[Ending | None], seconds: float) -> bool:
    """Whether something happened within `seconds`."""
    changed = asyncio.ensure_future(listener.rows(seconds))
    awaited: set[asyncio.Future[Any]] = {changed} if ended.done() else {changed, ended}
    done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    if changed not in done:
        changed.cancel()
        return True
    return bool(changed.result())


def _event(kind: str, data: object, event_id: str = "") -> bytes:
    head = f"id: {event_id}\nevent: {kind}\n" if event_id else f"event: {kind}\n"
    return head.encode() + b"data: " + written(data) + b"\n\n"
