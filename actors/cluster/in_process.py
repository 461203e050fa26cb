"""The whole hub in one process, without Ray: the same registry, hosts, store and engine, connected by plain calls.

For tests of orchestrators (`durable_ray.testing`) and for our own. Everything is as in a cluster except process boundaries:
what would be an actor is an object on one event loop, and time may be virtual.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from durable_ray.actors.activities.dispatcher import MakeExecutor
from durable_ray.actors.activities.thread_executor import ThreadExecutor
from durable_ray.actors.api import HostApi
from durable_ray.actors.clock import Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.host.crash_marker import NoMarker
from durable_ray.actors.host.host import InstanceHost
from durable_ray.actors.host.passivation import passivate
from durable_ray.actors.host.service import HostService
from durable_ray.actors.instances.placement import dedicated_host, instance_of, is_dedicated
from durable_ray.actors.instances.waits import UnmetDemand
from durable_ray.actors.registry.admission import Hosts
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.measures import Measured
from durable_ray.actors.store.records import InstanceRow
from durable_ray.orchestrations.authoring.options import OrchestratorOptions

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("durable_ray.in_process")


class InProcessHub:
    """A hub on the running event loop. `open` first; `close` last."""

    def __init__(self, store: Store, clock: Clock, settings: HubConfig, name: str = "testing") -> None:
        self.name = name
        self.store = store
        self.clock = clock
        self.settings = settings
        self.hosts: dict[str, InstanceHost] = {}
        self.services: dict[str, HostService] = {}
        self.registry: Registry
        self.closing = False
        self.passivating: set[asyncio.Future[bool]] = set()
        self._opening: dict[str, asyncio.Future[None]] = {}

    async def open(self) -> None:
        """Acquire the hub and recover what is in the store."""
        loop = asyncio.get_running_loop()
        settings = self.settings.to_json()
        partitions, now = self.settings.partitions, self.clock.now()
        await loop.run_in_executor(
            None,
            lambda: self.store.acquire_hub(self.name, "in-process", "in-process", now, partitions, settings),
        )
        fence = await loop.run_in_executor(None, self.store.acquire_lease, "registry")
        self.registry = Registry(self.store, fence, self.clock, self.settings, _Hosts(self))
        await self.registry.open()

    async def close(self) -> None:
        """Stop everything. Nothing is lost: another hub on the same store continues."""
        self.closing = True
        await self.registry.close()
        for host in tuple(self.hosts.values()):
            await host.close()
        self.hosts.clear()
        self.services.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing will happen until there is outside input or time passes."""
        return (
            not self._opening
            and not self.passivating
            and self.registry.idle
            and all(host.idle for host in self.hosts.values())
        )

    async def ensure(self, host: str) -> None:
        """Get or create a host."""
        while host in self.services and self.hosts[host].moved and not self.closing:
            await asyncio.sleep(0.001)  # it passivates; it must not be taken for its successor
        if host in self.services:
            return
        opening = self._opening.get(host)
        if opening is None:
            opening = self._opening[host] = asyncio.ensure_future(self.open_host(host))
            opening.add_done_callback(lambda _: self._opening.pop(host, None))
        await asyncio.shield(opening)

    async def open_host(self, name: str) -> None:
        """Make the host of this name, as its Ray actor does."""
        loop = asyncio.get_running_loop()
        fence = await loop.run_in_executor(None, self.store.acquire_lease, name)
        definition_cache = DefinitionCache(self.store)
        host = InstanceHost(
            self.store, fence, self.clock, definition_cache, self.settings, _Peers(self), NoMarker(), self._executors()
        )
        await host.open()
        self.hosts[name] = host
        self.services[name] = HostService(host)

    def _executors(self) -> dict[str, MakeExecutor]:
        return {"local": lambda on_result, crashed: ThreadExecutor(on_result, crashed, self.name, self.clock)}

    async def drop(self, name: str) -> None:
        """End a host as a crash would: without any report or write."""
        self.services.pop(name, None)
        host = self.hosts.pop(name, None)
        if host is not None:
            await host.close()


class _Hosts(Hosts):
    """Hosts, as the registry calls them."""

    def __init__(self, hub: InProcessHub) -> None:
        self._hub = hub

    async def alive(self) -> Collection[str]:
        return [instance_of(host) for host in self._hub.services if is_dedicated(host)]

    async def ensure_partition(self, host: str, runtime_env: str | None) -> None:
        await self._hub.ensure(host)

    async def create(self, row: InstanceRow, options: OrchestratorOptions | None, runtime_env: str | None) -> None:
        await self._hub.ensure(row.host)

    async def notify(self, host: str, instance_ids: Sequence[str]) -> bool:
        found = self._hub.hosts.get(host)
        if found is None or found.moved:
            return False
        found.notify(instance_ids)
        return True

    async def deployed(self, host: str) -> None:
        found = self._hub.hosts.get(host)
        if found is not None and not found.moved:
            found.deployments.look()

    async def unmet(self, demands: Mapping[str, Mapping[str, Any]]) -> Mapping[str, UnmetDemand]:
        return {}

    async def names(self) -> Collection[str]:
        return list(self._hub.services)

    async def measured(self, host: str) -> Measured:
        return self._hub.hosts[host].measured()

    async def end(self, instance_id: str) -> None:
        await self._hub.drop(dedicated_host(instance_id))

    async def passivate(self, instance_id: str) -> bool:
        # A task of its own: the caller may be cancelled, and a passivation must not stop halfway.
        passivating = asyncio.ensure_future(self._passivate(instance_id))
        self._hub.passivating.add(passivating)
        passivating.add_done_callback(self._hub.passivating.discard)
        return await asyncio.shield(passivating)

    async def _passivate(self, instance_id: str) -> bool:
        name = dedicated_host(instance_id)
        host = self._hub.hosts.get(name)
        if host is None or not await passivate(host, instance_id):
            return False
        self._hub.registry.hub_measures.take_last(host.measured())
        await self._hub.drop(name)
        await self._hub.registry.admission.passivating(instance_id)
        return True


class _Peers:
    """A host's reports to the registry."""

    def __init__(self, hub: InProcessHub) -> None:
        self._hub = hub

    def notify(self, host: str, instance_ids: Iterable[str], resident: bool) -> None:
        """The store has something for these."""
        self._hub.registry.notify([(host, instance_id) for instance_id in instance_ids])

    def finished(self, instance_ids: Iterable[str]) -> None:
        """These dedicated instances have ended."""
        self._hub.registry.spawn(self._hub.registry.finished(list(instance_ids)))

    def fenced(self, host: str) -> None:
        """This host was fenced: its lease is another's."""
        self._hub.registry.spawn(self._end(host))

    async def _end(self, host: str) -> None:
        await self._hub.drop(host)
        await self._hub.registry.fenced(host)


async def call(
    hub: InProcessHub,
    target: str,
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Call a method of the registry or of a host, as a client in a cluster would. Raises KeyError for no such host."""
    if target == "registry":
        answer: R = await hub.registry.asked(method.__name__, args, kwargs)
        return answer
    service: HostApi = hub.services[target]
    answer = await getattr(service, method.__name__)(*args, **kwargs)
    return answer
