"""An activity worker as an actor: ends when nobody has needed it for long."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import ray

from durable_ray.actors.worker import ActivityWorker


class WorkerActor(ActivityWorker):
    """An activity worker, which leaves when nobody has needed it for long."""

    def __init__(self, hub: str, slots: int, idle_seconds: float) -> None:
        super().__init__(hub, slots, idle_seconds)
        self._watch = asyncio.get_running_loop().create_task(self._watch_for_idleness())

    async def _watch_for_idleness(self) -> None:
        while not self.leave():
            await asyncio.sleep(min(5.0, self._idle_seconds / 2))
        ray.get_runtime_context().current_actor.end.remote()

    async def end(self) -> None:
        """End this process for good."""
        ray.actor.exit_actor()


@functools.cache
def worker_class() -> Any:
    """The worker's Ray actor class, for the hub's workers and for detached activities."""
    return ray.remote(max_concurrency=10_000, enable_task_events=False)(WorkerActor)
