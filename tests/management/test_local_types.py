"""Types that only a function knows, under postponed annotations, arrive as what they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import durable_ray as dr


def test_a_class_of_the_function_around_arrives_as_itself(client: dr.Client) -> None:
    @dataclasses.dataclass
    class Order:
        n: int

    @dr.activity(name="local_types_double")
    def double(order: Order) -> Order:
        return Order(order.n * 2)

    @dr.orchestrator(name="local_types")
    async def main(ctx: dr.OrchestrationContext, order: Order) -> list[Any]:
        doubled = await ctx.call_activity(double, order)
        return [order.n, doubled.n, type(doubled).__name__]

    assert client.start_new(main, Order(3)).wait_for_completion(30) == [3, 6, "Order"]
