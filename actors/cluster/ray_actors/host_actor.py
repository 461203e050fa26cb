"""A host as a Ray actor: opens itself when its process starts, then serves its instances.

After a crash Ray restarts the process, and its constructor recovers the work without any call. Methods that answer while user
code blocks the event loop are in the concurrency group `ctl`, which has a thread of its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import logging
import os
import pickle
import uuid
from collections.abc import Sequence

import ray

from durable_ray.actors.activities.detached_executor import DetachedExecutor
from durable_ray.actors.activities.dispatcher import MakeExecutor
from durable_ray.actors.activities.thread_executor import ThreadExecutor
from durable_ray.actors.activities.worker_client import WorkerLink
from durable_ray.actors.activities.worker_pool import WorkerPool
from durable_ray.actors.api import HostApi, RegistryActorApi
from durable_ray.actors.clock import SystemClock
from durable_ray.actors.cluster.handles import REGISTRY, Gone, ctl, find, remote, workers_of
from durable_ray.actors.cluster.processes import RayProcesses, end_this_process, hung_after, prepare_this_process
from durable_ray.actors.cluster.ray_actors.ray_task_executor import RayTaskExecutor
from durable_ray.actors.cluster.ray_actors.worker_actor import worker_class
from durable_ray.actors.cluster.ray_hub import HubInfo, RayPeers, RayWorkerLink, find_detached_actor
from durable_ray.actors.cluster.registry_apart import make_registry_apart
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.host.crash_marker import FileMarker, Watchdog
from durable_ray.actors.host.host import InstanceHost
from durable_ray.actors.host.service import HostService
from durable_ray.actors.messages import PROTOCOL, Delivery, Ending, Hello, Reply, StartRequest
from durable_ray.actors.registry.liveness import Detector, RegistryWatch
from durable_ray.actors.registry.unopened import CannotOpen, opened
from durable_ray.actors.store.contract import Fenced, Store
from durable_ray.actors.store.measures import Measured
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.wire.address import WireAddress
from durable_ray.actors.wire.listeners import LoopListener

log = logging.getLogger("durable_ray.actor")

#: Seconds for which calls of a host that cannot be opened are answered with the reason, before its process ends.
_LAST_ANSWERS_SECONDS = 1.0
#: What clients call, with packed arguments.
_PACKED = frozenset(method for method in vars(HostApi) if not method.startswith("_"))
#: Seconds in which the registry creates workers, where there are some already.
_WORKER_SECONDS = 10.0


class HostActor:
    """A partition. `DedicatedActor` adds what a driver calls on the handle of one instance."""

    def __init__(self, info: HubInfo, host: str) -> None:
        prepare_this_process()
        self._info = info
        self._name = host
        self._identity = uuid.uuid4().hex
        self._host: InstanceHost
        #: The same host for the `ctl` thread, which has another event loop.
        self._opened: concurrent.futures.Future[InstanceHost] = concurrent.futures.Future()
        self._opening = asyncio.get_running_loop().create_task(self._open_or_end())
        self._watch_registry = RegistryWatch(
            Detector(RayProcesses(info.hub), hung_after(info.settings.turn_limit)), REGISTRY, self._make_registry
        )
        self._watching_registry = asyncio.get_running_loop().create_task(self._watch_registry.run())
        self._listener = LoopListener(self.packed)
        self._wire = asyncio.get_running_loop().create_task(self._listener.open())

    async def _open_or_end(self) -> HostService:
        """An actor that cannot open must neither stay and answer with an old error, nor be restarted by Ray for ever: it ends
        for good, and the registry creates another when there is a reason to."""
        try:
            return await opened(self._open, self._name)
        except Fenced:
            end_this_process(self._identity)
            raise
        except CannotOpen as error:
            self._opened.set_exception(error)
            asyncio.get_running_loop().call_later(_LAST_ANSWERS_SECONDS, end_this_process, self._identity)
            raise

    async def _open(self) -> HostService:
        loop = asyncio.get_running_loop()
        store: Store = await loop.run_in_executor(None, open_store, self._info.store)
        fence = await loop.run_in_executor(None, store.acquire_lease, self._name, self._info.boot_epoch)
        settings = self._info.settings
        watchdog = Watchdog(FileMarker(self._info.marker_path(self._name)), settings.turn_limit)
        host = InstanceHost(
            store,
            fence,
            SystemClock(),
            DefinitionCache(store),
            settings,
            RayPeers(self._info, self._identity),
            watchdog,
            _executors(self._info, self._name),
        )
        # A file answers at once; a server may not, and must not block the event loop.
        host.committer.inline = self._info.store.startswith("sqlite")
        try:
            await host.open()
        except BaseException:
            await host.close()
            store.close()
            raise
        self._host = host
        self._opened.set_result(host)
        return HostService(host)

    async def hello(self) -> Hello:
        """What this host is, and whether it passivates."""
        await self._opening
        host = self._host
        return Hello(
            host.name, self._info.hub, PROTOCOL, host.fence.epoch, os.getpid(), self._info.store, leaving=host.moved
        )

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Reply]:
        """See `HostService.start_many`."""
        return await (await self._opening).start_many(requests)

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Reply]:
        """See `HostService.deliver_many`."""
        return await (await self._opening).deliver_many(deliveries)

    async def wait(
        self, instance_ids: Sequence[str], seconds: float, *, start: bool = False, all_of_them: bool = False
    ) -> list[Ending]:
        """See `HostService.wait`."""
        return await (await self._opening).wait(instance_ids, seconds, start=start, all_of_them=all_of_them)

    async def packed(self, call: bytes) -> bytes:
        """A method of `HostApi`, packed: what the wire carries, and Ray passes on as it is."""
        method, args, kwargs = pickle.loads(call)
        if method not in _PACKED:
            raise ValueError(f"{method!r} is not called this way")
        return pickle.dumps(await getattr(self, method)(*args, **kwargs), protocol=5)

    async def wire(self) -> WireAddress | None:
        """Where clients on the same machine call `packed` without Ray; None if that cannot be had."""
        await self._opening
        return await self._wire if self._info.settings.wire else None

    async def notify(self, instance_ids: Sequence[str]) -> bool:
        """The store has something for these. False: this host passivates."""
        await self._opening
        if self._host.moved:
            return False
        self._host.notify(instance_ids)
        return True

    async def deployed(self) -> None:
        """Something was deployed: read it before it is needed."""
        await self._opening
        self._host.deployments.look()

    async def measured(self) -> Measured:
        """What this process has counted."""
        await self._opening
        return self._host.measured()

    @ctl
    async def pid(self) -> int:
        """The process, also while user code blocks the loop."""
        return os.getpid()

    @ctl
    async def heartbeat(self, within: float) -> None:
        """The registry's heartbeat; the next follows `within` seconds. The answer shows that this process lives."""
        self._watch_registry.heartbeat(within)

    async def _make_registry(self) -> None:
        """Create the registry if it is gone, unless the hub is another's by now: then this host is fenced."""
        if self._opened.done():
            host = self._opened.result()
            await host.background.blocking(lambda: host.store.commit(None, ()))
        await asyncio.to_thread(make_registry_apart, self._info, True)

    async def end(self, whose: str = "") -> None:
        """End this process for good (with `whose`, only if it is that one); its work continues elsewhere, or when the
        host is created again."""
        if whose in ("", self._identity):
            ray.actor.exit_actor()


def _executors(info: HubInfo, host: str) -> dict[str, MakeExecutor]:
    """The executors of a cluster."""
    find = functools.partial(find_workers, info)
    find_detached = functools.partial(find_detached_actor, info, worker_class())
    return {
        "local": lambda on_result, crashed: ThreadExecutor(on_result, crashed, info.hub, SystemClock()),
        "worker": lambda on_result, crashed: WorkerPool(host, find, on_result, crashed),
        "detached": lambda on_result, crashed: DetachedExecutor(host, find_detached, on_result, crashed),
        "task": lambda on_result, crashed: RayTaskExecutor(info.hub, on_result, crashed),
    }


async def find_workers(info: HubInfo, create: bool) -> list[WorkerLink]:
    """The hub's workers; with `create`, the registry makes those that are missing."""
    # Existing ones are found without the registry: a recovering host does not wait for it.
    there = await workers_of(info.hub)
    names = there
    if create:
        try:
            names = await asyncio.wait_for(
                remote(find(info.hub, REGISTRY), RegistryActorApi.workers, True), _WORKER_SECONDS if there else None
            )
        except Exception as error:
            if not there:
                raise
            log.warning("the registry creates no workers now, the existing ones are used: %r", error)
    links: list[WorkerLink] = []
    for name in names:
        try:
            links.append(RayWorkerLink(name, find(info.hub, name), wired=info.settings.wire))
        except Gone:
            continue
    return links
