"""A hyperparameter search: rounds of trials as Ray tasks, the better half goes on. `python examples/search.py`

Successive halving. The orchestrator proposes and decides; its random numbers are the same on every replay, so a search that is
killed in its third round goes on in its third round, with the trials that were done.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import durable_ray as dr


@dataclass(frozen=True)
class Trial:
    rate: float
    decay: float


@dataclass(frozen=True)
class Search:
    trials: int = 8
    steps: int = 40


@dataclass(frozen=True)
class Best:
    trial: Trial
    loss: float
    rounds: int


@dr.activity(num_cpus=1, retry_policy=dr.RetryPolicy(first_retry_interval=1, max_number_of_attempts=3))
def train(trial: Trial, steps: int) -> float:
    """The loss of a line that gradient descent fitted to `y = 3x + 1` with some noise."""
    draw = random.Random(7)
    points = [(x / 10, 3 * x / 10 + 1 + draw.gauss(0, 0.05)) for x in range(-10, 11)]
    slope = offset = 0.0
    for step in range(steps):
        rate = trial.rate / (1 + trial.decay * step)
        errors = [(slope * x + offset - y, x) for x, y in points]
        slope -= rate * sum(error * x for error, x in errors) / len(points)
        offset -= rate * sum(error for error, _ in errors) / len(points)
    return sum((slope * x + offset - y) ** 2 for x, y in points) / len(points)


@dr.orchestrator
async def halving(ctx: dr.OrchestrationContext, search: Search) -> Best:
    """The best trial, after rounds of half as many trials with twice as many steps."""
    draw = ctx.random
    trials = [Trial(10 ** draw.uniform(-3, 0), 10 ** draw.uniform(-3, -1)) for _ in range(search.trials)]
    steps, rounds = search.steps, 0
    while True:
        losses = await asyncio.gather(*(ctx.call(train, trial, steps) for trial in trials))
        ranked = sorted(zip(losses, trials, strict=True), key=lambda one: one[0])
        rounds += 1
        ctx.set_custom_status({"round": rounds, "best": ranked[0][0]})
        if len(trials) == 1:
            return Best(ranked[0][1], ranked[0][0], rounds)
        trials = [trial for _, trial in ranked[: len(ranked) // 2]]
        steps *= 2


def main(client: dr.Client) -> None:
    best = client.start_new(halving, Search()).wait_for_completion(timeout=120)
    print(f"after {best.rounds} rounds the loss is {best.loss:.4f}, with a rate of {best.trial.rate:.2f}")


if __name__ == "__main__":
    main(dr.Client())
