"""Orchestrators for the page's tests and pictures, keys, and values that mean harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypedDict

import durable_ray as dr
from durable_ray.http.keys import Access, Key, Keyring
from durable_ray.http.settings import GatewaySettings

KEY, READ_KEY = "full-key-of-the-page", "read-key-of-the-page"
RING = Keyring([Key("default", Access.FULL, KEY), Key("read-only", Access.READ, READ_KEY)])
SETTINGS = GatewaySettings(port=0, grace=1)

#: If any of it were taken for markup, a script would run, an element appear or an attribute break.
HARM = "\"><img src=x onerror=window.harmed=1><script>window.harmed=1</script>' {{7*7}} {% raise %} &lt;b&gt; \u202etxt"
#: The same without what no instance ID may have.
HARMFUL_ID = HARM.replace("/", "").replace("#", "").replace("?", "") + " é ü 100%25 ☃"


class Order(TypedDict):
    """The input of `shop.order`."""

    item: str
    count: int


@dr.activity(name="shop.charge", local=True)
def charge(item: str) -> str:
    if item == "sofa":
        raise ValueError(f"card refused for {item}")
    return f"charged for {item}"


@dr.activity(name="shop.ship", local=True)
def ship(item: str) -> str:
    return f"{item} is on its way"


@dr.orchestrator(name="shop.order", version="2024.2")
async def order(ctx: dr.OrchestrationContext, item: str, count: int = 1, gift: bool = False) -> dict[str, Any]:
    ctx.set_custom_status({"step": "charging", "item": item})
    charged = await ctx.call_activity(charge, item)
    ctx.set_custom_status({"step": "shipping", "item": item})
    return {"charged": charged, "shipped": await ctx.call_activity(ship, item), "count": count, "gift": gift}


@dr.orchestrator(name="shop.approval")
async def approval(ctx: dr.OrchestrationContext, amount: float = 10) -> Any:
    ctx.set_custom_status("waiting for somebody to approve")
    return await ctx.wait_for_external_event("Approval")


@dr.orchestrator(name="shop.reminder")
async def reminder(ctx: dr.OrchestrationContext, seconds: float = 3600) -> str:
    await ctx.create_timer(timedelta(seconds=seconds))
    return "reminded"


@dr.orchestrator(name="shop.batch")
async def batch(ctx: dr.OrchestrationContext, items: list[str]) -> list[Any]:
    return await ctx.task_all([ctx.call_sub_orchestrator(order, item) for item in items])


@dr.orchestrator(name="shop.hostile")
async def hostile(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    ctx.set_custom_status(HARM)
    await ctx.wait_for_external_event(HARM.replace("/", "").replace("#", "").replace("?", ""))
    raise RuntimeError(HARM)
