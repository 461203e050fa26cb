"""Server-sent events: an instance's status changes and new history as they happen, or the changes of all instances.

A stream can be taken up where it broke: history events carry IDs, and browsers send the last one back themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from durable_ray.actors.errors import DamagedHistory, InstanceNotFound
from durable_ray.actors.messages import Ending
from durable_ray.actors.store.records import InstanceRow
from durable_ray.client.json_views import history_json, instance_json
from durable_ray.http.answers import problem, written
from durable_ray.http.api.instances import Id
from durable_ray.http.api.services import Given, Services, problems
from durable_ray.http.limits import RETRY_AFTER, TooMany
from durable_ray.http.watch import Follower

log = logging.getLogger("durable_ray.http")

router = APIRouter(tags=["streams"])

_STREAM = "text/event-stream"
_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events", "content": {_STREAM: {"schema": {"type": "string"}}}}
}
_ALIVE = b": alive\n\n"
#: Instead of "alive" while changes could not be noticed. What was missed is sent as soon as they can.
_STALE = b": the hub does not answer; it is asked again\n\n"
#: Seconds between two attempts to read what is to be sent.
_AGAIN = 1.0


class Stream(StreamingResponse):
    """A stream that counts among those of its key for as long as it lasts, and is refused where that has too many."""

    def __init__(self, given: Services, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, media_type=_STREAM)
        self._given = given

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or 429."""
        try:
            with self._given.streams.one_more(scope):
                await super().__call__(scope, receive, send)
        except TooMany as error:
            await problem(429, "Too many streams", str(error), RETRY_AFTER)(scope, receive, send)


@router.get("/instances/{instance_id}/stream", response_class=Response, responses={**_SHOWN, **problems(400, 404, 429)})
async def follow(
    instance_id: Id, given: Given, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """`status` (the instance without its payloads), `history` (one event each), and at last `end`."""
    row = await given.raw_hub.row(instance_id)
    return Stream(given, _instance(given, row, last_event_id or ""))


@router.get("/stream", include_in_schema=False)
async def follow_all(given: Given) -> StreamingResponse:
    """`status` for every instance that changes, without end. Left out of the document: no client generator reads it."""
    return Stream(given, _all(given))


async def _all(given: Services) -> AsyncIterator[bytes]:
    seconds = given.settings.stream_heartbeat
    with given.watch.listen() as listener:
        while not await listener.ready(seconds):
            yield _STALE
        yield b": following\n\n"
        while True:
            rows = await listener.rows(seconds)
            for row in rows:
                yield _event("status", instance_json(row, payloads=False))
            if not rows:
                yield _ALIVE if given.watch.up_to_date else _STALE


async def _instance(given: Services, row: InstanceRow, last_id: str) -> AsyncIterator[bytes]:
    instance_id = row.instance_id
    execution, _, seen = last_id.rpartition("/")
    sent = int(seen) + 1 if execution == row.execution_id and seen.isdecimal() else 0
    ended = asyncio.ensure_future(given.raw_hub.wait(instance_id, given.settings.max_wait))
    ended.add_done_callback(_retrieve)
    try:
        with given.watch.follow(instance_id) as follower:
            follower.shown = row.standing
            while True:
                try:
                    fresh, events = await given.raw_hub.with_history(instance_id)
                except InstanceNotFound:
                    yield _event("end", {"instance_id": instance_id, "status": "purged"})
                    return
                except DamagedHistory as error:
                    yield _event("end", {"instance_id": instance_id, "status": "damaged", "detail": str(error)})
                    return
                except Exception:
                    log.warning("a stream cannot read its instance; it tries again", exc_info=True)
                    yield _STALE
                    await asyncio.sleep(_AGAIN)
                    continue
                follower.shown = fresh.standing
                if fresh.execution_id != row.execution_id:
                    sent = 0
                row = fresh
                yield _event("status", instance_json(row, payloads=False))
                for entry in history_json(events)[sent:]:
                    yield _event("history", entry, f"{row.execution_id}/{entry['index']}")
                sent = len(events)
                if row.finished:
                    yield _event("end", instance_json(row))
                    return
                while not await _news(follower, ended, given.settings.stream_heartbeat):
                    yield _ALIVE if given.watch.up_to_date else _STALE
    finally:
        ended.cancel()


def _retrieve(ended: asyncio.Future[Ending | None]) -> None:
    if not ended.cancelled():
        ended.exception()  # Waiting only makes an end known sooner; polling finds it, too.


async def _news(follower: Follower, ended: asyncio.Future[Ending | None], seconds: float) -> bool:
    """Whether something happened within `seconds`."""
    changed = asyncio.ensure_future(follower.changed(seconds))
    awaited: set[asyncio.Future[Any]] = {changed} if ended.done() else {changed, ended}
    try:
        done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        changed.cancel()
    return bool(changed.result()) if changed in done else True


def _event(kind: str, data: object, event_id: str = "") -> bytes:
    head = f"id: {event_id}\nevent: {kind}\n" if event_id else f"event: {kind}\n"
    return head.encode() + b"data: " + written(data) + b"\n\n"
