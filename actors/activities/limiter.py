"""The limit of concurrent attempts of an activity (`max_running`): the host's part, in front of its dispatcher.

Which activities have a limit is looked up when definitions change; those without pass through. An attempt of
an activity with a limit is queued here until the store has granted its permit (`store/sql/limits`), by a request of this host
or because another host returned one; it returns its own when its result is known, or unwanted. An attempt in a retry delay
holds none: it asks after the delay.

Nothing here has to survive. A permit is a row; a restarted host finds its permits in the store, and returns those whose
attempts are not submitted again. One exchange with the store is under way at a time, for all that has gathered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from durable_ray.actors.activities.permits import PERMITS, activity_limit, activity_limits
from durable_ray.actors.activities.ports import Activities, ActivityResult, Address, Invocation, OnResult, Peers
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.store.contract import Fenced, LimitStore
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.records import Fence, Permit
from durable_ray.actors.store.retrying import until_answered

log = logging.getLogger("durable_ray.activities")

T = TypeVar("T")


class ActivityLimiter:
    """The `Activities` of a host; `inner` are those that run."""

    inner: Activities

    def __init__(
        self,
        store: LimitStore,
        fence: Fence,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        peers: Peers,
        on_result: OnResult,
        priority_of: Callable[[str], int],
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        fenced: Callable[[], None],
    ) -> None:
        self._store = store
        self._fence = fence
        self._definition_cache = definition_cache
        self._settings = settings
        self._peers = peers
        self._on_result = on_result
        self._priority_of = priority_of
        self._blocking = blocking
        self._fenced = fenced
        self._loop = asyncio.get_running_loop()
        self._revision = -1
        self._free: frozenset[str] = frozenset()
        #: Not granted yet (or not known to be), in the order in which they came.
        self._waiting: dict[Address, Invocation] = {}
        #: Granted and under way.
        self._running: dict[Address, Permit] = {}
        #: Their results are on the way into history, so they will not run again.
        self._reported: set[Address] = set()
        #: What the next exchange with the store brings.
        self._asked: dict[Address, Permit] = {}
        self._returned: dict[Address, Permit] = {}
        self._refresh = False
        self._exchanging: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = self._closed = False

    # --- the port ---------------------------------------------------------------------------------

    def submit(self, invocations: Sequence[Invocation]) -> None:
        """Run these, those of limited activities when their permits are granted. Returns at once."""
        if self._revision != self._definition_cache.revision:
            self._learn()
        free = self._free
        if all(invocation.name in free for invocation in invocations):
            self.inner.submit(invocations)
            return
        through = [
            i for i in invocations if i.name in free or i.address in self._running or i.address in self._reported
        ]
        if through:
            self.inner.submit(through)
        passed = {invocation.address for invocation in through}
        unknown: list[Invocation] = []
        for invocation in invocations:
            if invocation.address in passed or invocation.address in self._waiting:
                continue
            self._waiting[invocation.address] = invocation
            if activity_limit(invocation.name, self._definition_cache, self._settings) is not None:
                self._ask(invocation)
            else:
                unknown.append(invocation)
        if unknown:
            self._keep(self._look_up(unknown))

    def cancel(self, addresses: Collection[Address]) -> None:
        """Their results are unwanted: stop them if that is possible."""
        self.inner.cancel(addresses)
        for address in addresses:
            self._release(address)

    def withdraw(self, instance_id: str) -> None:
        """The instance has ended: its queued attempts are dropped. Running ones run to their end."""
        for address in [address for address in self._waiting if address.instance_id == instance_id]:
            self._release(address)

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """Their results are durable (or unwanted)."""
        if self._reported:
            self._reported.difference_update(addresses)
        self.inner.acknowledge(addresses)

    def result(self, address: Address, event: ActivityResult) -> None:
        """What `inner` reports to: an attempt has ended, and its permit is free."""
        if self._running and address in self._running:
            self._reported.add(address)
            self._release(address)
        self._on_result(address, event)

    async def adopt(self) -> None:
        """Find attempts that survived this host's previous process."""
        await self.inner.adopt()

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs here under a limit, or has to be returned."""
        return bool(self._running or self._waiting or self._tasks) or self._exchanging is not None

    @property
    def idle(self) -> bool:
        """Whether nothing submitted is without an answer, and nothing has to be returned."""
        return self.inner.idle and not self.busy

    async def close(self) -> None:
        """Stop what runs in this process. Its permits stay with the successor."""
        self._closed = True
        for task in (*self._tasks, self._exchanging):
            if task is not None:
                task.cancel()
        await self.inner.close()

    # --- notifications ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read this host's permits: some may have been granted meanwhile, others may belong to no attempt."""
        self._open = self._refresh = True
        self._exchange_soon()

    # --- inside -----------------------------------------------------------------------------------

    def _learn(self) -> None:
        self._revision = self._definition_cache.revision
        self._free = (
            self._definition_cache.activity_names() - activity_limits(self._definition_cache, self._settings).keys()
        )

    async def _look_up(self, invocations: list[Invocation]) -> None:
        """This host does not know these activities yet: learn their limits first."""
        await until_answered(self._blocking, self._definition_cache.refresh, "learning what is deployed")
        wanted = [i for i in invocations if self._waiting.get(i.address) is i]
        for invocation in wanted:
            if activity_limit(invocation.name, self._definition_cache, self._settings) is not None:
                self._ask(invocation)
            else:
                del self._waiting[invocation.address]
                self.inner.submit([invocation])  # which reports an unknown name

    def _ask(self, invocation: Invocation) -> None:
        address = invocation.address
        self._asked[address] = Permit(
            invocation.name,
            self._fence.host,
            address.instance_id,
            address.execution_id,
            address.task_id,
            address.attempt,
            self._priority_of(address.instance_id),
        )
        self._exchange_soon()

    def _release(self, address: Address) -> None:
        invocation = self._waiting.pop(address, None)
        permit = self._running.pop(address, None) or self._asked.pop(address, None)
        if permit is None and invocation is not None:
            permit = Permit(invocation.name, self._fence.host, *_fields(address))
        if permit is not None:
            self._returned[address] = permit
            self._exchange_soon()

    def _exchange_soon(self) -> None:
        if self._exchanging is None and not self._closed:
            self._exchanging = self._loop.create_task(self._exchange())
            self._exchanging.add_done_callback(self._exchanged)

    def _exchanged(self, task: asyncio.Task[None]) -> None:
        self._exchanging = None
        if not task.cancelled() and task.exception() is not None:
            log.error("host %s: exchanging permits failed", self._fence.host, exc_info=task.exception())
        elif self._asked or self._returned or self._refresh:
            self._exchange_soon()  # it came after the task's last check and before this was called

    async def _exchange(self) -> None:
        while self._asked or self._returned or self._refresh:
            asked, self._asked = self._asked, {}
            returned, self._returned = self._returned, {}
            refresh, self._refresh = self._refresh, False
            names = {permit.name for permit in (*asked.values(), *returned.values())}
            limits = activity_limits(self._definition_cache, self._settings, names)
            try:
                if names:
                    call = partial(self._store.permit, self._fence, [*asked.values()], [*returned.values()], limits)
                    self._begin_granted(await self._until_answered(call))
                if refresh:
                    self._reconcile(await self._until_answered(partial(self._store.permits, self._fence.host)))
            except Fenced:
                self._closed = True  # its attempts are its successor's
                self._fenced()
                return

    async def _until_answered(self, call: Callable[[], T]) -> T:
        return await until_answered(self._blocking, call, "exchanging permits")

    def _begin_granted(self, granted: Iterable[Permit]) -> None:
        """Submit granted attempts of this host, and notify the hosts of the others."""
        ready: list[Invocation] = []
        others: set[str] = set()
        for permit in granted:
            if permit.host != self._fence.host:
                others.add(permit.host)
                continue
            address = address_of(permit)
            invocation = self._waiting.get(address)
            if invocation is not None and address not in self._returned:
                del self._waiting[address]
                self._running[address] = permit
                ready.append(invocation)
            elif self._open and address not in self._running:
                self._returned[address] = permit  # it was cancelled meanwhile
        if ready:
            self.inner.submit(ready)
        for host in sorted(others):
            self._peers.notify(host, [PERMITS], True)

    def _reconcile(self, rows: Iterable[tuple[Permit, bool]]) -> None:
        """Begin what was granted, return what an earlier process of this host, or execution of an instance, left behind, and
        ask again for what is missing: the registry deletes permits of a host that it believes to be gone, and may be late."""
        found: set[Address] = set()
        for permit, granted in rows:
            address = address_of(permit)
            found.add(address)
            if granted:
                self._begin_granted([permit])
            elif address not in self._waiting:
                self._returned[address] = permit
        for address, invocation in self._waiting.items():
            limited = activity_limit(invocation.name, self._definition_cache, self._settings) is not None
            if limited and address not in found and address not in self._asked:
                self._ask(invocation)

    def _keep(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fields(address: Address) -> tuple[str, str, int, int]:
    return address.instance_id, address.execution_id, address.task_id, address.attempt


def address_of(permit: Permit) -> Address:
    """Whose permit it is."""
    return Address(permit.instance_id, permit.execution_id, permit.task_id, permit.attempt)
