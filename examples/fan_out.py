"""Fan out, fan in: pi by throwing darts, each handful a Ray task. `python examples/fan_out.py`"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import durable_ray as dr

TASKS = 20


@dataclass(frozen=True)
class Handful:
    seed: int
    darts: int


# A declared resource makes each call a Ray task: Ray finds it a free core on any node.
@dr.activity(num_cpus=1, retry_policy=dr.RetryPolicy(first_retry_interval=0.5, max_number_of_attempts=3))
def throw(context: dr.ActivityContext, handful: Handful) -> int:
    if handful.seed == 3 and context.attempt == 1:
        raise OSError("this one slipped")
    dart = random.Random(handful.seed).random
    return sum(dart() ** 2 + dart() ** 2 < 1 for _ in range(handful.darts))


@dr.orchestrator
async def estimate_pi(ctx: dr.OrchestrationContext, darts: int) -> float:
    handfuls = [Handful(seed, darts // TASKS) for seed in range(TASKS)]
    hits: list[int] = await asyncio.gather(*(ctx.call_activity(throw, handful) for handful in handfuls))
    return 4 * sum(hits) / sum(handful.darts for handful in handfuls)


def main(client: dr.Client) -> None:
    # Without an ID it gets a random one, and shares a process with others: for thousands of them.
    handle = client.start_new(estimate_pi, 400_000)
    print(f"{handle.instance_id}: pi is about {handle.wait_for_completion(timeout=120)}")


if __name__ == "__main__":
    main(dr.Client())
