"""An activity worker as a Ray actor: its calls run in threads, and it ends after `worker_idle` without work.

Not an asyncio actor: a call of a threaded one takes two thirds of the time, and it is the price of every activity.
"""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Collection
from typing import Any

import ray

from durable_ray.actors.activities import sigterm
from durable_ray.actors.activities.ports import ActivityResult, Address
from durable_ray.actors.activities.worker import ActivityWorker
from durable_ray.actors.cluster.handles import ctl, in_group, remote
from durable_ray.actors.wire.address import WireAddress
from durable_ray.actors.wire.listeners import ThreadListener

#: Threads for long polls, and for calls that must be answered whatever runs.
_GROUPS = {"collect": 64, "ctl": 4}
#: Threads for calls that run activities, unless their number is given with the actor's options. `slots` bounds how many
#: activities run; the calls beyond that wait.
THREADS = 80


class WorkerActor(ActivityWorker):
    """An activity worker that ends when it has been idle for long."""

    def __init__(self, hub: str, slots: int, idle_seconds: float) -> None:
        super().__init__(hub, slots, idle_seconds)
        sigterm.end_after(self.shut_down)
        self._myself = ray.get_runtime_context().current_actor
        self._wire = ThreadListener(self.run_packed).open()
        threading.Thread(target=self._watch_for_idleness, name="idleness", daemon=True).start()

    def _watch_for_idleness(self) -> None:
        pause = threading.Event()
        while not self.may_exit():
            pause.wait(min(5.0, self._idle_seconds / 2))
        remote(self._myself, WorkerActor.end)

    def run_packed(self, packed: bytes) -> bytes:
        """`run`, with its arguments and its answer as bytes: what the wire carries, and Ray passes on as they are."""
        return pickle.dumps(self.run(*pickle.loads(packed)), protocol=5)

    @ctl
    def begin_packed(self, packed: bytes) -> bytes:
        """`begin`, as `run_packed`."""
        return pickle.dumps(self.begin(*pickle.loads(packed)), protocol=5)

    @ctl
    def wire(self) -> WireAddress | None:
        """Where hosts on the same machine call `run_packed` without Ray; None if that cannot be had."""
        return self._wire

    @in_group("collect")
    def collect(self, host: str, acknowledged: Collection[Address] = ()) -> list[tuple[Address, ActivityResult]]:
        return super().collect(host, acknowledged)

    @ctl
    def forget(self, host: str, acknowledged: Collection[Address]) -> None:
        super().forget(host, acknowledged)

    @ctl
    def held(self, host: str) -> list[Address]:
        return super().held(host)

    @ctl
    def cancel(self, host: str, address: Address) -> bool:
        return super().cancel(host, address)

    @ctl
    def busy(self) -> int:
        return super().busy()

    @ctl
    def pid(self) -> int:
        return super().pid()

    @ctl
    def end(self) -> None:
        """End this process for good."""
        ray.actor.exit_actor()


@functools.cache
def worker_class() -> Any:
    """The Ray actor class of workers, also used for detached activities."""
    return ray.remote(concurrency_groups=_GROUPS, max_concurrency=THREADS, enable_task_events=False)(WorkerActor)
