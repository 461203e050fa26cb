"""What the gateway's tests run: a few orchestrators, and a hub in this process behind the real app."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import durable_ray as dr
from durable_ray.http.keys import Access, Key, Keyring
from durable_ray.http.settings import GatewaySettings

KEY, READ_KEY = "full-key-of-the-tests", "read-key-of-the-tests"
RING = Keyring([Key("default", Access.FULL, KEY), Key("read-only", Access.READ, READ_KEY)])
URL = "http://127.0.0.1:7071"
HOOKS = "/runtime/webhooks/durabletask"
SETTINGS = GatewaySettings(stream_interval=0.05, stream_heartbeat=0.5, max_body_bytes=100_000, max_wait=30)


@dr.activity(name="http.greet", local=True)
def greet(name: str) -> str:
    return f"Hello {name}!"


@dr.activity(name="http.fragile_step", local=True)
def fragile_step(path: str) -> str:
    if not os.path.exists(path):
        raise ValueError(f"it broke: there is no {path}")
    return "mended"


@dr.orchestrator(name="http.echo")
async def echo(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    return value


@dr.orchestrator(name="http.hello")
async def hello(ctx: dr.OrchestrationContext, name: str = "you") -> str:
    return await ctx.call_activity(greet, name)


@dr.orchestrator(name="http.approval")
async def approval(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    ctx.set_custom_status({"waits": True})
    return await ctx.wait_for_external_event("Approval")


@dr.orchestrator(name="http.fragile")
async def fragile(ctx: dr.OrchestrationContext, path: str) -> str:
    """Fails until there is such a file."""
    return await ctx.call_activity(fragile_step, path)


@dr.orchestrator(name="http.sleeper")
async def sleeper(ctx: dr.OrchestrationContext, seconds: float = 60) -> str:
    await ctx.create_timer(timedelta(seconds=seconds))
    return "awake"


@dr.orchestrator(name="http.pickler")
async def pickler(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    return {1: "a dict with a key that JSON cannot say"}
