"""The detached executor: each attempt in an actor of its own that outlives its host, for activities that run for hours.

The actor is named by the activity's address and keeps its result until it is acknowledged: a host that comes back finds it
by asking for the same thing again. It ends when its result is durable, or unwanted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol

from durable_ray.actors.activities.dispatcher import Crashed, Job
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation, OnResult
from durable_ray.actors.activities.runner import failed
from durable_ray.actors.activities.worker_client import WorkerEnds, WorkerGone
from durable_ray.actors.store.background import TaskSet
from durable_ray.actors.store.records import DefinitionRow


class DetachedActorLink(Protocol):
    """An actor for one activity, as a host reaches it. Raises WorkerGone if its process is not there any more."""

    def begin(
        self, host: str, jobs: Sequence[Invocation], code: Sequence[DefinitionRow]
    ) -> Awaitable[Sequence[tuple[Address, ActivityResult]]]:
        """See `ActivityWorker.begin`."""

    def collect(self, host: str, acks: Collection[Address]) -> Awaitable[Sequence[tuple[Address, ActivityResult]]]:
        """See `ActivityWorker.collect`."""

    def cancel(self, host: str, address: Address) -> None:
        """Raise the activity's flag. One-way."""

    def dismiss(self) -> None:
        """End the process. One-way."""


#: Seconds before an attempt whose process was terminating is tried again: until then its name may be taken.
_PAUSE = 0.5
#: Finds the actor of that name, or makes it with these Ray options.
FindDetachedActor = Callable[[str, dict[str, Any]], DetachedActorLink]


class DetachedExecutor:
    """Runs each job in a detached actor."""

    def __init__(self, host: str, find: FindDetachedActor, on_result: OnResult, crashed: Crashed) -> None:
        self._host = host
        self._find = find
        self._on_result = on_result
        self._crashed = crashed
        self._loop = asyncio.get_running_loop()
        self._detached_actors: dict[Address, DetachedActorLink] = {}
        self._tasks = TaskSet()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Run these. Returns at once."""
        for job in jobs:
            self._tasks.spawn(self._run(job))

    def cancel(self, address: Address) -> None:
        """Raise the activity's flag; its actor ends when its result has come and was dropped."""
        detached_actor = self._detached_actors.get(address)
        if detached_actor is not None:
            detached_actor.cancel(self._host, address)

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """Their results are durable: their actors can go."""
        for address in addresses:
            detached_actor = self._detached_actors.pop(address, None)
            if detached_actor is not None:
                detached_actor.dismiss()

    async def adopt(self) -> None:
        """Nothing to find out: the same address leads to the same actor."""

    async def close(self) -> None:
        """Stop waiting; the actors go on."""
        self._tasks.cancel()

    async def _run(self, job: Job) -> None:
        address = job.invocation.address
        try:
            detached_actor = self._detached_actors[address] = self._find(detached_actor_name(address), _options(job))
            results = await detached_actor.begin(self._host, [job.invocation], [job.row])
            while not results:
                results = await detached_actor.collect(self._host, ())
        except WorkerEnds as ends:
            self._detached_actors.pop(address, None)
            self._loop.call_later(_PAUSE, self._crashed, job, str(ends), False)
        except WorkerGone as gone:
            self._detached_actors.pop(address, None)
            self._crashed(job, str(gone))
        except (ValueError, TypeError) as error:
            self._on_result(address, failed(job.invocation, f"builtins.{type(error).__name__}", str(error)))
        else:
            for answered, result in results:
                self._on_result(answered, result)


def detached_actor_name(address: Address) -> str:
    """The Ray name of the actor of one attempt of one activity."""
    text = f"{address.instance_id}\0{address.execution_id}\0{address.task_id}\0{address.attempt}"
    return f"activity-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _options(job: Job) -> dict[str, Any]:
    options = job.known.options.ray_options()
    if job.known.row.runtime_env is not None:
        options["runtime_env"] = json.loads(job.known.row.runtime_env)
    return options
