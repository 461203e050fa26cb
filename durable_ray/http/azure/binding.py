"""The client binding: what Azure's own client for Python is made from, so that it drives this gateway unchanged."""

from __future__ import annotations

import json
from urllib.parse import quote, urlsplit

from durable_ray.actors.wire.management_urls import PREFIX, GatewayAddress, management_payload

_INSTANCE = "INSTANCEID"


def client_binding(url: str, hub: str, key: str) -> str:
    """The JSON text for `azure.durable_functions.DurableOrchestrationClient`.

    Args:
        url: where the gateway listens, `http://127.0.0.1:7071`.
        hub: the hub's name.
        key: one of the gateway's keys. It travels as the password in the URL of the RPC base, where that client has no
            other place for it.

    Example:
        >>> "rpcBaseUrl" in client_binding("http://127.0.0.1:7071", "durable_ray", "key")
        True
    """
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    code = quote(key, safe="")
    start = f"{origin}{PREFIX}/orchestrators/{{functionName}}[/{{instanceId}}]"
    wait = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}"
    binding = {
        "taskHubName": hub,
        "creationUrls": {
            "createNewInstancePostUri": f"{start}?code={code}",
            "createAndWaitOnNewInstancePostUri": f"{start}?{wait}&code={code}",
        },
        "managementUrls": management_payload(GatewayAddress(origin, key, hub), _INSTANCE),
        "baseUrl": f"{origin}{PREFIX}",
        "requiredQueryStringParameters": f"code={code}",
        "rpcBaseUrl": f"{parts.scheme}://key:{code}@{parts.netloc}/durabletask/",
    }
    return json.dumps(binding)
