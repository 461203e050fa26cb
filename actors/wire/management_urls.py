"""The URLs of the HTTP management API: made in one place, for the gateway, for clients and for activities.

The registry keeps the gateway's address in memory only: it never enters history, and a gateway that moves is known at
once.
"""

from __future__ import annotations

from urllib.parse import quote

from msgspec import Struct

#: Where the management API is mounted.
PREFIX = "/runtime/webhooks/durabletask"


class GatewayAddress(Struct, frozen=True):
    """Where a hub's gateway listens: `base_url` as `http://host:port`, and the key that it asks for ("" for none)."""

    base_url: str
    key: str = ""
    hub: str = ""
    connection: str = "Storage"

    def __repr__(self) -> str:
        # Without the key: what is shown ends in logs.
        return f"GatewayAddress(base_url={self.base_url!r}, hub={self.hub!r}, connection={self.connection!r})"


#: Name in the payload -> path below the instance, and what the caller fills in.
_ROUTES = {
    "statusQueryGetUri": ("", ""),
    "sendEventPostUri": ("/raiseEvent/{eventName}", ""),
    "terminatePostUri": ("/terminate", "reason={text}"),
    "rewindPostUri": ("/rewind", "reason={text}"),
    "purgeHistoryDeleteUri": ("", ""),
    "restartPostUri": ("/restart", ""),
    "suspendPostUri": ("/suspend", "reason={text}"),
    "resumePostUri": ("/resume", "reason={text}"),
}


def management_payload(gateway: GatewayAddress, instance_id: str, prefix: str = PREFIX) -> dict[str, str]:
    """All URLs of an instance, under one of the API's bases; `{eventName}` and `{text}` stay in for the caller to fill.

    The body of every 202 too, as Durable Functions' documents have it (later extensions leave `rewindPostUri` out).

    Example:
        >>> management_payload(GatewayAddress("http://h:7071", hub="x"), "a b")["terminatePostUri"]
        'http://h:7071/runtime/webhooks/durabletask/instances/a%20b/terminate?reason={text}&taskHub=x&connection=Storage'
    """
    base = f"{gateway.base_url.rstrip('/')}{prefix}/instances/{quote(instance_id, safe='')}"
    common = [f"taskHub={quote(gateway.hub, safe='')}", f"connection={quote(gateway.connection, safe='')}"]
    if gateway.key:
        common.append(f"code={quote(gateway.key, safe='')}")
    urls = {
        name: f"{base}{path}?{'&'.join([own, *common] if own else common)}" for name, (path, own) in _ROUTES.items()
    }
    return {"id": instance_id, **urls}
