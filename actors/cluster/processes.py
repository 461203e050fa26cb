"""The processes of a hub's actors through Ray: heartbeats, killing those that are stopped or hung, and ending one's own."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from durable_ray.actors.activities import sigterm
from durable_ray.actors.api import ActorApi, HostActorApi
from durable_ray.actors.cluster.handles import (
    REGISTRY,
    WORKER_PREFIX,
    Gone,
    find,
    named_in,
    remote,
    system_namespace,
    translated,
)
from durable_ray.actors.host.crash_marker import end_with_this_thread
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.placement import dedicated_host

log = logging.getLogger("durable_ray.registry")
actor_log = logging.getLogger("durable_ray.actor")

#: Seconds in which a node reports whether one of its processes is stopped, unless it cannot.
_NODE_SECONDS = 30.0
#: Seconds in which Ray ends an actor that asks for it, unless a call in progress delays it or Ray considers it dead already.
_END_SECONDS = 10.0
#: Seconds of silence of a process that is not stopped, at least, before it is taken for hung.
_HUNG_SECONDS = 60.0
#: Thresholds of the garbage collector in hosts and the registry. An instance in memory is some hundred containers and no cycle:
#: with Python's own (700, 10, 10), a sixth of a host's processor time goes into looking at them.
_GC_THRESHOLDS = (20_000, 10, 10)


class RayProcesses:
    """A `liveness.Processes` of one hub."""

    def __init__(self, hub: str) -> None:
        self._hub = hub
        self._handles: dict[str, Any] = {}

    async def names(self) -> Collection[str]:
        """The processes that get heartbeats: hosts and workers."""
        namespace = system_namespace(self._hub)
        system, dedicated = await asyncio.to_thread(lambda: (named_in(namespace), named_in(self._hub)))
        return [*(name for name in system if name != REGISTRY), *map(dedicated_host, dedicated)]

    async def answers(self, name: str, within: float) -> bool:
        """See `liveness.Processes`."""
        try:
            handle = self._handle(name)
            if hasattr(handle, "heartbeat"):
                await remote(handle, HostActorApi.heartbeat, within)
            elif name == REGISTRY or name.startswith(WORKER_PREFIX):
                await remote(handle, ActorApi.pid)
            else:
                return False  # not ours, in the same namespace
            return True
        except Exception as error:
            self._handles.pop(name, None)
            meaning = translated(error)
            if isinstance(meaning, Gone):
                return False
            raise meaning from error

    async def end_stopped(self, name: str) -> bool:
        """See `liveness.Processes`."""
        known = await asyncio.to_thread(_alive, self._handle(name))
        if known is None:
            return False
        node, pid = known
        if node == ray.get_runtime_context().get_node_id():
            return end_if_stopped(pid)
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        task = ray.remote(num_cpus=0, max_retries=0)(end_if_stopped).options(scheduling_strategy=there)
        try:
            return bool(await asyncio.wait_for(task.remote(pid), _NODE_SECONDS))
        except Exception as error:
            log.info("the node of %s does not report whether it is stopped: %r", name, error)
            return False

    async def end_silent(self, name: str) -> None:
        """See `liveness.Processes`."""
        handle = self._handle(name)
        if await asyncio.to_thread(_alive, handle) is not None:
            ray.kill(handle, no_restart=False)

    def _handle(self, name: str) -> Any:
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = find(self._hub, name)
        return handle


def prepare_this_process() -> None:
    """What a process of a host, or of the registry, does first. Called on the thread of its event loop."""
    instance_log.show()
    sigterm.end_at_once()
    end_with_this_thread()
    gc.collect()
    gc.freeze()  # what is imported stays
    gc.set_threshold(*_GC_THRESHOLDS)


def hung_after(turn_limit: float) -> Callable[[str], float | None]:
    """Seconds after which a silent process that is not stopped is taken for hung; a worker never is, whatever it runs."""
    limit = max(_HUNG_SECONDS, 2 * turn_limit)
    return lambda name: None if name.startswith(WORKER_PREFIX) else limit


def _alive(handle: Any) -> tuple[str, int] | None:
    """(node, pid) of an actor's process, if Ray considers it alive; None also if Ray's internal state cannot be read."""
    try:
        from ray._private import state

        found = state.actors(handle._actor_id.hex())
        return (found["Address"]["NodeID"], int(found["Pid"])) if found["State"] == "ALIVE" else None
    except Exception as error:
        log.info("Ray's state of an actor cannot be read: %r", error)
        return None


def end_if_stopped(pid: int) -> bool:
    """Kill a process of this machine if it is stopped by a signal; whether it was. One that is being debugged is not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        if status.rpartition(")")[2].split()[0] != "T":
            return False
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False  # it has ended; or this system has no /proc, and it is not known
    return True


def end_this_process(identity: str) -> None:
    """End this actor for good, never its successor. `identity` is what its method `end` compares: Ray routes the call to the
    actor that has the name now, which is another if this process was considered dead."""
    killer = threading.Timer(_END_SECONDS, os._exit, (0,))
    killer.daemon = True
    killer.start()
    try:
        remote(ray.get_runtime_context().current_actor, ActorApi.end, identity)
    except Exception as error:
        actor_log.warning("Ray does not end this process, it ends by itself: %s", error)
