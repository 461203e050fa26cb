"""The driver of `rayjob.yaml`: starts one run, or goes on waiting for it, whichever cluster it was begun in.

python nightly.py RUN

RUN is the instance's ID. A second driver with the same RUN (the Job's retry, on a new cluster) neither starts it twice nor
loses what is done: the run is in the store.
"""

from __future__ import annotations

import asyncio
import sys

import durable_ray as dr


@dr.activity(num_cpus=1)
def load(part: int) -> int:
    """A Ray task: the autoscaler adds nodes for it."""
    return part * part


@dr.orchestrator
async def nightly(ctx: dr.OrchestrationContext, parts: int) -> int:
    """The sum of all parts."""
    return sum(await asyncio.gather(*(ctx.call_activity(load, part) for part in range(parts))))


def main(client: dr.Client, run: str) -> int:
    """The output of the run, which is started unless it is there."""
    try:
        handle = client.start_new(nightly, 100, instance_id=run, if_exists="reject_finished")
    except dr.InstanceAlreadyExists:
        handle = client.get_handle(run)
    return int(handle.wait_for_completion())


if __name__ == "__main__":
    print(main(dr.Client(), sys.argv[1]))
