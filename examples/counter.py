"""An eternal singleton: a counter that lives until it is told to stop. `python examples/counter.py`

Each `continue_as_new` begins a new execution with an empty history, so it can go on for years; events that nobody
has taken yet go along. Its Ray actor is named as the instance, so a driver can talk to it without any client.
"""

from __future__ import annotations

from dataclasses import dataclass

import durable_ray as dr


@dataclass(frozen=True)
class State:
    total: int = 0
    seen: int = 0


@dr.orchestrator(placement="dedicated")
async def counter(ctx: dr.OrchestrationContext, state: State) -> int:
    for _ in range(3):  # a few events per execution; hundreds are as good
        ctx.set_custom_status({"total": state.total, "seen": state.seen})
        amount = await ctx.wait_for_external_event("Add")
        if amount is None:
            return state.total
        state = State(state.total + amount, state.seen + 1)
    ctx.continue_as_new(state)
    return state.total  # never reached: continue_as_new does not return


def main(client: dr.Client) -> None:
    handle = client.start_new(counter, State(), instance_id="counter", if_exists="use_existing")
    for amount in range(1, 11):
        handle.raise_event("Add", amount)
    handle.raise_event("Add", None)
    print("the total is", handle.wait_for_completion(timeout=60))


if __name__ == "__main__":
    main(dr.Client())
