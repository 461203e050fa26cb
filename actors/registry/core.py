"""What every part of the registry uses: the store, a committer, threads for blocking calls, admission and notifier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from durable_ray.actors.activities.permits import ActivityPermits
from durable_ray.actors.clock import Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.code.deployments import Deployments
from durable_ray.actors.host.turns import receipt_reply
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.messages import Reply
from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.registry.admission import Admission, Hosts
from durable_ray.actors.registry.instance_limiter import InstanceLimiter
from durable_ray.actors.registry.measuring import HubMeasures
from durable_ray.actors.registry.notifier import Notifier
from durable_ray.actors.store.background import Background
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Fenced, HubInUse, Store, StoreError
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.measures import Measures
from durable_ray.actors.store.records import Fence

log = logging.getLogger("durable_ray.registry")
T = TypeVar("T")


class RegistryCore:
    """The registry's state and helpers, without the methods that callers use."""

    def __init__(self, store: Store, fence: Fence, clock: Clock, settings: HubConfig, hosts: Hosts) -> None:
        # The registry writes only under its fence; commits assert it by themselves.
        bare, store = store, store.fenced(fence)
        self.store = store
        self.fence = fence
        #: Set once the fence does not hold: another owns the hub, and this process must end.
        self.fenced_by: Fenced | None = None
        #: Called when that is found.
        self.on_fenced: Callable[[], None] = lambda: None
        self.clock = clock
        self.settings = settings
        self.hosts = hosts
        self.definition_cache = DefinitionCache(store)
        self.waiters = Waiters()
        self._loop = asyncio.get_running_loop()
        self._background = Background("registry", 8, self.lose)
        self.blocking, self.spawn = self._background.blocking, self._background.spawn
        self.deployments = Deployments(self.definition_cache, self.blocking, self.spawn)
        self.measures = Measures(clock.now())
        self._committer = Committer(bare, fence, self._loop, self.deployments.advanced, self.lose, self.measures)
        self.hub_measures = HubMeasures(self.measures, hosts)
        self._instance_factory = InstanceFactory(self.definition_cache, settings)
        self.admission = Admission(
            store, clock, self.definition_cache, settings, hosts, self.waiters, self.blocking, self.spawn
        )
        self.notifier = Notifier(
            store, clock, self.definition_cache, settings.partitions, hosts, self.admission, self.blocking, self.spawn
        )
        self.instance_limiter = InstanceLimiter(
            store, clock, self.definition_cache, settings, self.blocking, self.notify
        )
        self.permits = ActivityPermits(
            store, self.definition_cache, settings, self.blocking, self.notify, self.admission.has
        )

    @property
    def idle(self) -> bool:
        """Whether nothing is in progress here."""
        quiet = not self._committer.waiting and self.admission.idle and self.instance_limiter.idle
        return quiet and self._background.idle

    def lose(self, error: Fenced) -> None:
        """The fence does not hold any more: stop, and send those who wait here elsewhere."""
        if self.fenced_by is None:
            self.fenced_by = error
            log.error("the registry was fenced, its process ends: %s", error)
            self.waiters.moved(self.waiters.waited_for())
            self.on_fenced()

    async def successor(self) -> Exception:
        """The error for callers once the fence does not hold any more: who owns the hub, or that they may retry."""
        try:
            row = await self.blocking(self.store.hub)
        except StoreError as error:
            return Unreachable(f"another process has taken over the hub, and the store does not say which: {error}")
        if row is None or row.boot_epoch == self.fence.boot_epoch:
            return Unreachable("another process of this cluster is the hub's registry now")
        return HubInUse(row.address, row.heartbeat, row.cluster)

    def notify(self, targets: Iterable[tuple[str, str]]) -> None:
        """Notify hosts, in the background, that the store has something for these (host, instance)."""
        targets = list(targets)
        if targets:
            self.spawn(self.notifier.notify(targets))

    async def _recorded(self, request_ids: list[str]) -> dict[str, Reply]:
        if not request_ids:
            return {}
        texts = await self.blocking(lambda: self.store.receipts(request_ids))
        return {request_id: receipt_reply(text) for request_id, text in texts.items()}
