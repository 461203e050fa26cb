"""Starting: `orchestrators/{name}[/{id}]` of the management API, and the starters an application would write itself."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from durable_ray.actors.errors import InstanceAlreadyExists, UnknownDefinition
from durable_ray.actors.registry.registry import Registry
from durable_ray.http.azure.call import ManagementCall, clean_text
from durable_ray.http.azure.errors import BAD_ARGUMENT, BadRequest
from durable_ray.http.azure.parameters import takes
from durable_ray.http.requests import Params
from durable_ray.orchestrations.values.ids import quoted


@takes(
    timeout=Params.number,
    pollingInterval=Params.number,
    version=Params.text,
    returnInternalServerErrorOnFailure=Params.flag,
)
async def start(call: ManagementCall, name: str, instance_id: str | None = None) -> Response:
    """`POST orchestrators/{name}/{id?}`: 202, or with `timeout` and `pollingInterval` the output."""
    body = await call.body()
    seconds = call.params.number("timeout")
    if seconds is None or call.params.number("pollingInterval") is None:
        return call.started(await begin(call, name, instance_id, body))
    flag = call.params.flag("returnInternalServerErrorOnFailure", False)
    with call.waiting():
        return await call.outcome(await begin(call, name, instance_id, body), seconds, failure_is_500=flag)


@takes(version=Params.text, returnInternalServerErrorOnFailure=Params.flag)
async def start_singleton(call: ManagementCall, name: str, instance_id: str) -> Response:
    """`POST /orchestrators/{name}/{id}`: at most one live instance of that ID, however many ask at once."""
    try:
        return call.started(await begin(call, name, instance_id, await call.body()))
    except InstanceAlreadyExists as error:
        return PlainTextResponse(str(error), 409)


@takes(
    timeout=Params.number,
    retryInterval=Params.number,
    version=Params.text,
    returnInternalServerErrorOnFailure=Params.flag,
)
async def start_and_wait(call: ManagementCall, name: str) -> Response:
    """`POST /orchestrators/{name}/wait?timeout=&retryInterval=`, in seconds: 200 with the output, or 202.

    One of the two has to be there: without, it is the start of a singleton of that name (`start_singleton`).
    """
    timeout = call.params.number("timeout")
    interval = call.params.number("retryInterval")
    seconds = 10.0 if timeout is None else timeout
    pause = 1.0 if interval is None else interval
    if pause > seconds and interval is not None:
        text = f"Total timeout {seconds * 1000:g} (ms) should be bigger than retry timeout {pause * 1000:g} (ms)"
        raise BadRequest(BAD_ARGUMENT, text)
    body = await call.body()
    with call.waiting():
        return await call.outcome(await begin(call, name, None, body), seconds, failure_is_500=True)


async def begin(call: ManagementCall, name: str, instance_id: str | None, value: object) -> str:
    """Start an instance; its ID. Raises what `AsyncClient.start_new` raises, UnknownDefinition as BadRequest."""
    clean_text("function name", name)
    version = call.params.text("version")
    try:
        handle = await call.raw_hub.client.start_new(name, value, instance_id=instance_id, version=version)
    except UnknownDefinition as error:
        deployed = await call.raw_hub.ask(Registry.definitions)
        known = sorted({row.name for row in deployed if row.kind == "orchestrator"})
        raise BadRequest(BAD_ARGUMENT, _unknown(name, known)) from error
    return handle.instance_id


def _unknown(name: str, known: list[str]) -> str:
    listed = f"The following are the known orchestrator functions: {', '.join(map(quoted, known))}."
    none = "No orchestrator functions are currently registered!"
    return (
        f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function. "
        f"Additional info: {listed if known else none}"
    )
