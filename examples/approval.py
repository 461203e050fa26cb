"""A human in the loop: wait for somebody's answer, but not for ever. `python examples/approval.py`

The timeout may be days: while it waits the instance costs a row in the store, and no process.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import durable_ray as dr


@dataclass(frozen=True)
class Order:
    item: str
    cost: float
    patience: timedelta = timedelta(days=3)


@dataclass(frozen=True)
class Answer:
    approved: bool
    by: str


@dr.activity
def notify(text: str) -> None:
    print(text)


@dr.orchestrator
async def purchase(ctx: dr.OrchestrationContext, order: Order) -> str:
    if order.cost < 100:
        return "bought"
    await ctx.call_activity(notify, f"{ctx.instance_id}: {order.item} for {order.cost}?")
    ctx.set_custom_status("waiting for approval")
    try:
        answer: Answer = await ctx.wait_for_external_event("Approval", timeout=order.patience, data_type=Answer)
    except TimeoutError:
        await ctx.call_activity(notify, f"{ctx.instance_id}: nobody answered, it goes to the manager")
        return "escalated"
    return f"{'bought' if answer.approved else 'refused'} by {answer.by}"


def main(client: dr.Client) -> None:
    chair = client.start_new(purchase, Order("chair", 300.0), instance_id="order-chair")
    desk = client.start_new(purchase, Order("desk", 900.0, timedelta(seconds=1)), instance_id="order-desk")
    # From anywhere that knows the ID; an event that comes before it is waited for is kept.
    client.raise_event("order-chair", "Approval", Answer(True, "Ada"))
    print("chair:", chair.wait_for_completion(timeout=60))
    print("desk:", desk.wait_for_completion(timeout=60))


if __name__ == "__main__":
    main(dr.Client())
