"""Plain classes made Ray actor classes: their options, and nothing else."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import ray

from durable_ray.actors.cluster import ActorClasses
from durable_ray.actors.dedicated import DedicatedActor
from durable_ray.actors.host_actor import HostActor
from durable_ray.actors.registry_actor import RegistryActor
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


_GROUPS = {"ctl": 16}
#: Calls that may be under way at once in one actor: long polls of thousands of clients.
_MANY = 10_000


@functools.cache
def classes() -> ActorClasses:
    """The Ray actor classes. Bound late, so that importing this package does not start anything."""
    host_options: dict[str, Any] = {
        "concurrency_groups": _GROUPS,
        "max_concurrency": _MANY,
        "enable_task_events": False,
    }
    return ActorClasses(
        partition=ray.remote(**host_options)(HostActor),
        dedicated=ray.remote(**host_options)(DedicatedActor),
        worker=ray.remote(max_concurrency=_MANY, enable_task_events=False)(WorkerActor),
    )


def registry_class() -> Any:
    """The registry's Ray actor class."""
    return ray.remote(concurrency_groups=_GROUPS, max_concurrency=_MANY, enable_task_events=False)(RegistryActor)
