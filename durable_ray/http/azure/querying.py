"""Reading: one instance, all that match, and deleting all that match."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from durable_ray.actors.instances.history_view import merged_history
from durable_ray.actors.instances.status import RuntimeStatus, micros
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import InstanceQuery, Page
from durable_ray.client.json_views import opened
from durable_ray.client.operations.asking import payloads_of
from durable_ray.client.operations.bounds import through
from durable_ray.http.answers import JSON, answer, azure_error, empty, written
from durable_ray.http.azure.call import ManagementCall
from durable_ray.http.azure.parameters import takes
from durable_ray.http.azure.shapes import status_object
from durable_ray.http.requests import Params

TOKEN = "x-ms-continuation-token"
_LARGEST_PAGE = 1000


@takes(
    showHistory=Params.flag,
    showHistoryOutput=Params.flag,
    showInput=Params.flag,
    returnInternalServerErrorOnFailure=Params.flag,
)
async def get_instance(call: ManagementCall, instance_id: str) -> Response:
    """`GET instances/{id}`: 202 while it lives, 200 when it has ended."""
    params = call.params
    show_input = params.flag("showInput", True)
    flag = params.flag("returnInternalServerErrorOnFailure", False)
    if not params.flag("showHistory", False):
        row = await call.raw_hub.row(instance_id, payloads_of(show_input))
        return call.standing(row, failure_is_500=flag, show_input=show_input)
    row, events = await call.raw_hub.with_history(instance_id)
    show_output = params.flag("showHistoryOutput", False)
    history = merged_history(events, opened, show_input=show_input, show_output=show_output)
    return call.standing(row, failure_is_500=flag, show_input=show_input, history=history)


@takes(
    createdTimeFrom=Params.moment,
    createdTimeTo=Params.moment,
    runtimeStatus=Params.statuses,
    instanceIdPrefix=Params.text,
    showInput=Params.flag,
    top=Params.count,
)
async def list_instances(call: ManagementCall) -> Response:
    """`GET instances`: with `top` a page of at most so many and the token of the next; without it all that match."""
    query = query_of(call)
    show_input = call.params.flag("showInput", True)
    token = call.request.headers.get(TOKEN) or None
    top = call.params.count("top")
    size = call.settings.page_size if top is None else min(top, _LARGEST_PAGE)
    page = await call.raw_hub.ask(Registry.query, query, size, token)
    if top is None and page.token is not None:
        return StreamingResponse(_all(call, query, page, show_input), 200, {TOKEN: ""}, JSON)
    rows = [status_object(row, show_input=show_input) for row in page.rows]
    return answer(rows, 200, {TOKEN: page.token or ""})


async def _all(call: ManagementCall, query: InstanceQuery, page: Page, show_input: bool) -> AsyncIterator[bytes]:
    """A JSON array from this page on: however long it gets, one page is in memory.

    The next page is read when the caller has taken this one, so a slow caller slows the reading.
    """
    mark = b"["
    while True:
        for row in page.rows:
            yield mark + written(status_object(row, show_input=show_input))
            mark = b","
        if page.token is None:
            yield b"]"
            return
        page = await call.raw_hub.ask(Registry.query, query, call.settings.page_size, page.token)


@takes(createdTimeFrom=Params.moment, createdTimeTo=Params.moment, runtimeStatus=Params.statuses)
async def purge_by(call: ManagementCall) -> Response:
    """`DELETE instances?createdTimeFrom=…`."""
    created_from = call.params.moment("createdTimeFrom")
    if created_from is None:
        return answer("Please provide value for 'createdTimeFrom' parameter.", 400)
    until, asked = call.params.moment("createdTimeTo"), call.params.statuses("runtimeStatus")
    statuses = [status for status in asked or RuntimeStatus if status.finished]
    if not statuses:
        # Only what has ended can be purged; who asked for others gets what there is of them: nothing.
        return empty(404)
    result = await call.raw_hub.client.purge_by(
        created_time_from=created_from,
        created_time_to=None if until is None else through(until),
        runtime_status=statuses,
    )
    return answer({"instancesDeleted": result.deleted}) if result.deleted else empty(404)


def query_of(call: ManagementCall) -> InstanceQuery:
    """The filter in the parameters."""
    params = call.params
    since, until = params.moment("createdTimeFrom"), params.moment("createdTimeTo")
    return InstanceQuery(
        created_from=None if since is None else micros(since),
        created_to=None if until is None else micros(through(until)),
        statuses=tuple(params.statuses("runtimeStatus")),
        id_prefix=(params.text("instanceIdPrefix") or "").replace("\0", "\ufffd"),
        payloads=payloads_of(params.flag("showInput", True)),
    )


@takes(
    lastOperationTimeFrom=Params.moment,
    lastOperationTimeTo=Params.moment,
    fetchState=Params.flag,
    top=Params.count,
    op=Params.text,
)
async def entities(call: ManagementCall) -> Response:
    """`entities…`: not supported."""
    return azure_error(501, "This hub has no entities", "Durable entities are not implemented by this hub.")
