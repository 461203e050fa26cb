"""What is done to one instance: events, terminate, suspend, resume, rewind, restart, purge."""

from __future__ import annotations

from starlette.responses import Response

from durable_ray.actors.errors import InstanceFinished, InstanceNotFound, InvalidState
from durable_ray.client.raw_hub import existing
from durable_ray.http.answers import answer, azure_error, empty
from durable_ray.http.azure.call import ManagementCall
from durable_ray.http.azure.errors import BadRequest
from durable_ray.http.azure.parameters import takes
from durable_ray.http.requests import Params
from durable_ray.orchestrations.values.ids import InvalidEventName, validate_event_name
from durable_ray.orchestrations.values.payloads import PayloadNotJson


async def raise_event(call: ManagementCall, instance_id: str, event_name: str) -> Response:
    """`POST instances/{id}/raiseEvent/{eventName}`: 202 once the event is durable."""
    try:
        value = await call.body()
        validate_event_name(event_name)
    except (BadRequest, InvalidEventName, PayloadNotJson):
        # A missing or finished instance is reported before errors of the content.
        row = await call.raw_hub.row(instance_id)
        if row.finished:
            raise InstanceFinished(instance_id, row.status) from None
        raise
    existing(instance_id)
    await call.raw_hub.client.raise_event(instance_id, event_name, value)
    return call.accepted()


@takes(reason=Params.text)
async def terminate(call: ManagementCall, instance_id: str) -> Response:
    """`POST instances/{id}/terminate?reason=`."""
    existing(instance_id)
    await call.raw_hub.client.terminate(instance_id, call.reason())
    return call.accepted()


@takes(reason=Params.text)
async def suspend(call: ManagementCall, instance_id: str) -> Response:
    """`POST instances/{id}/suspend?reason=`; 500 if it is suspended already."""
    existing(instance_id)
    await call.raw_hub.client.suspend(instance_id, call.reason())
    return call.accepted()


@takes(reason=Params.text)
async def resume(call: ManagementCall, instance_id: str) -> Response:
    """`POST instances/{id}/resume?reason=`; 500 if it is not suspended."""
    existing(instance_id)
    await call.raw_hub.client.resume(instance_id, call.reason())
    return call.accepted()


@takes(reason=Params.text)
async def rewind(call: ManagementCall, instance_id: str) -> Response:
    """`POST instances/{id}/rewind?reason=`: what failed or was terminated goes on; 410 for what completed."""
    row = await call.raw_hub.row(instance_id)
    if row.status == "Completed":
        return empty(410)
    if not row.finished:
        raise InvalidState(
            "The rewind operation is only supported on failed or terminated orchestration instances, "
            f"this is {row.status}."
        )
    await call.raw_hub.client.rewind(instance_id, call.reason())
    return call.accepted()


@takes(
    restartWithNewInstanceId=Params.flag,
    timeout=Params.number,
    pollingInterval=Params.number,
    returnInternalServerErrorOnFailure=Params.flag,
)
async def restart(call: ManagementCall, instance_id: str) -> Response:
    """`POST instances/{id}/restart?restartWithNewInstanceId=`: its name and input once more."""
    try:
        await call.raw_hub.row(instance_id)
    except InstanceNotFound:
        text = "InstanceId does not match a valid orchestration instance."
        return azure_error(400, text, text, "System.ArgumentException")
    fresh = call.params.flag("restartWithNewInstanceId", True)
    seconds = call.params.number("timeout")
    if call.rpc or seconds is None or call.params.number("pollingInterval") is None:
        handle = await call.raw_hub.client.restart(instance_id, restart_with_new_instance_id=fresh)
        # What Azure's Python client returns to its caller, who is promised an ID.
        return answer(handle.instance_id, 202) if call.rpc else call.started(handle.instance_id)
    with call.waiting():
        handle = await call.raw_hub.client.restart(instance_id, restart_with_new_instance_id=fresh)
        return await call.outcome(handle.instance_id, seconds, failure_is_500=False)


async def purge(call: ManagementCall, instance_id: str) -> Response:
    """`DELETE instances/{id}`: 0 for one that runs."""
    row = await call.raw_hub.row(instance_id)
    deleted = await call.raw_hub.client.purge(instance_id) if row.finished else 0
    return answer({"instancesDeleted": deleted})
