"""`/healthz` and `/readyz`: whether this process answers, and whether the hub behind it works; without a key.

Anybody may ask, so the answers are fixed words and hold nothing of the hub, and a question costs the hub at most one small
write a second, however many ask. Ready means that the registry answers, holds the hub's lease, and can write to the store: the
same heartbeat that it records all the time. Paths and meaning are those of Kubernetes' own components.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from durable_ray.actors.clock import monotonic
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.contract import HubInUse, StoreError
from durable_ray.client.raw_hub import RawHub

#: The paths that are answered without a key.
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
#: What the key for the metrics opens.
METRICS_PATH = "/metrics"
#: Seconds for which the registry has time to answer: less than a probe's own limit in `deploy/kuberay`.
_WITHIN = 3.0
#: Seconds for which an answer holds.
_HOLDS = 1.0


class Health:
    """The two probes of one gateway."""

    def __init__(self, raw_hub: RawHub) -> None:
        self._raw_hub = raw_hub
        self._asking: asyncio.Task[str] | None = None
        self._asked = 0.0

    async def alive(self, _: Request) -> Response:
        """200 as long as this process answers at all."""
        return PlainTextResponse("ok\n")

    async def ready(self, _: Request) -> Response:
        """200 if the hub can take work, else 503 with the reason in a few words."""
        if self._asking is None or (self._asking.done() and monotonic() - self._asked >= _HOLDS):
            self._asking = asyncio.ensure_future(self._ask())
        # Shielded: others wait for the same answer.
        reason = await asyncio.shield(self._asking)
        return PlainTextResponse(f"{reason or 'ok'}\n", 503 if reason else 200)

    async def _ask(self) -> str:
        try:
            await asyncio.wait_for(self._raw_hub.ask(Registry.ready), _WITHIN)
        except TimeoutError:
            return "the registry does not answer"
        except HubInUse:
            return "another cluster owns the hub"
        except StoreError:
            return "the store cannot be written"
        except Exception:
            # What it says may name addresses, files or worse, and anybody may ask.
            return "the hub cannot be reached"
        finally:
            self._asked = monotonic()
        return ""
