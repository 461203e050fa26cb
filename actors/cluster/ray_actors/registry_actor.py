"""The registry as a Ray actor: acquires the hub before it answers any call."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from durable_ray.actors.clock import SystemClock
from durable_ray.actors.cluster.handles import REGISTRY, ctl
from durable_ray.actors.cluster.processes import RayProcesses, end_this_process, hung_after, prepare_this_process
from durable_ray.actors.cluster.ray_hub import ActorClasses, HubInfo, RayHosts
from durable_ray.actors.messages import PROTOCOL, Delivery, Hello, Reply
from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.registry.liveness import Detector, send_heartbeats
from durable_ray.actors.registry.persistence import RetriedOpening, StillOpening
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.contract import HubInUse, Store
from durable_ray.actors.store.measures import Measured
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.wire.address import WireAddress
from durable_ray.actors.wire.listeners import LoopListener

log = logging.getLogger("durable_ray.actor")

#: Seconds for which a registry that has to end still answers with the reason.
_LAST_ANSWERS_SECONDS = 1.0
#: Seconds for which a call waits for a registry that is still opening, before it is answered with the reason.
_OPEN_SECONDS = 10.0


class RegistryActor:
    """The registry."""

    def __init__(self, info: HubInfo, classes: ActorClasses, address: str, cluster: str, known: bool = False) -> None:
        """`known`: the hub was open in this cluster before, so what keeps it from opening is temporary."""
        prepare_this_process()
        self._info = info
        self._classes = classes
        self._address = address
        self._cluster = cluster
        self._identity = uuid.uuid4().hex
        self._known = known or ray.get_runtime_context().was_current_actor_reconstructed
        self._opening = RetriedOpening(self._open, self._retryable, "the hub's registry")
        self._opening.task.add_done_callback(self._opened)
        self._listener = LoopListener(self.packed)
        self._wire = asyncio.get_running_loop().create_task(self._listener.open())
        self._hosts: RayHosts

    async def _open(self) -> Registry:
        loop = asyncio.get_running_loop()
        info, settings = self._info, self._info.settings
        clock = SystemClock()
        store: Store = await loop.run_in_executor(None, open_store, info.store)

        def own() -> Any:
            row = store.acquire_hub(
                info.hub, self._cluster, self._address, clock.now(), settings.partitions, settings.to_json()
            )
            # In this boot only: another cluster may have acquired the hub since, and must not be fenced by us.
            return row, store.acquire_lease(REGISTRY, row.boot_epoch)

        registry = None
        try:
            row, fence = await loop.run_in_executor(None, own)
            # The hub's stored number of partitions holds: it decides where every shared instance lives.
            settings = settings._replace(partitions=row.partitions)
            self._info = HubInfo(info.hub, info.store, settings, row.boot_epoch)
            self._hosts = RayHosts(self._info, self._classes)
            registry = Registry(store, fence, clock, settings, self._hosts)
            registry.on_fenced = self._replaced
            await registry.open()
            self._beating = loop.create_task(self._beat(registry))
        except BaseException:
            if registry is not None:
                await registry.close()
            await loop.run_in_executor(None, store.close)  # and with it the hub's lock
            raise
        return registry

    async def _beat(self, registry: Registry) -> None:
        """Send heartbeats to every process of the hub, and have those that do not answer replaced."""
        processes = RayProcesses(self._info.hub)
        detector = Detector(processes, hung_after(registry.settings.turn_limit))
        await send_heartbeats(detector, processes.names, lambda: registry.fenced_by is None)

    def _retryable(self, error: Exception) -> bool:
        """Whether an error of opening may be temporary: all but another cluster that owns the hub. The lock of its own cluster
        is held by a predecessor that has not ended yet, or by another process that is about to record its ownership."""
        return not isinstance(error, HubInUse) or error.cluster in ("", self._cluster)

    def _opened(self, task: asyncio.Task[Registry]) -> None:
        # A registry that will never open must end.
        if not task.cancelled() and task.exception() is not None:
            self._replaced()

    async def _registry(self) -> Registry:
        """The registry, when it is open. Raises HubInUse, or Unreachable: then callers may retry."""
        try:
            return await self._opening.within(_OPEN_SECONDS)
        except StillOpening as error:
            raise Unreachable(str(error)) from error

    def _replaced(self) -> None:
        """It does not, or no longer, own the hub: answer calls with that for a moment, then end this process."""
        asyncio.get_running_loop().call_later(_LAST_ANSWERS_SECONDS, self._end_this)

    def _end_this(self) -> None:
        end_this_process(self._identity)

    async def hello(self) -> Hello:
        """What this registry is: its store, its number of partitions."""
        if self._known:
            registry = await self._registry()
        else:
            try:
                registry = await self._opening.first()
            except HubInUse as error:
                if not self._retryable(error):
                    raise
                registry = await self._registry()
            except Exception:
                # Most likely a wrong store URL: raise at once; the next connection creates another registry.
                self._replaced()
                raise
        info = self._info
        return Hello(REGISTRY, info.hub, PROTOCOL, 0, os.getpid(), info.store, partitions=registry.settings.partitions)

    async def ask(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a method of the `Registry`."""
        return await (await self._registry()).asked(method, args, kwargs)

    async def deliver_once(self, delivery: Delivery, key: str) -> Reply:
        """See `RegistryDelivery.deliver_once`."""
        reply: Reply = await self.ask(Registry.deliver_once.__name__, (delivery, key), {})
        return reply

    async def packed(self, call: bytes) -> bytes:
        """`ask`, with its arguments and its answer as bytes: what the wire carries, and Ray passes on as they are."""
        return pickle.dumps(await self.ask(*pickle.loads(call)), protocol=5)

    async def wire(self) -> WireAddress | None:
        """Where clients on the same machine call `packed` without Ray; None if that cannot be had."""
        await self._registry()
        return await self._wire if self._info.settings.wire else None

    # Reports of hosts are answered before they are acted on. A process that passivates does not end before the calls that it
    # has made are answered, and while it is ending it answers none: a call to it before the answer would be a deadlock.

    async def notify_many(self, targets: list[tuple[str, str]]) -> None:
        """The store has something for these (host, instance)."""
        (await self._registry()).notify(targets)

    async def finished(self, instance_ids: Sequence[str]) -> None:
        """These dedicated instances have ended."""
        registry = await self._registry()
        registry.spawn(registry.finished(instance_ids))

    async def passivating(self, instance_id: str, measured: Measured | None = None) -> None:
        """The dedicated host of this instance passivates."""
        await (await self._registry()).passivating(instance_id, measured)

    async def fenced(self, host: str) -> None:
        """This host was fenced and ends."""
        await (await self._registry()).fenced(host)

    async def workers(self, create: bool) -> list[str]:
        """Names of the hub's activity workers."""
        await self._registry()
        return await self._hosts.workers(create)

    @ctl
    async def pid(self) -> int:
        """The registry's process."""
        return os.getpid()

    async def end(self, whose: str = "") -> None:
        """End this process for good; with `whose`, only if it is that one."""
        if whose in ("", self._identity):
            ray.actor.exit_actor()
