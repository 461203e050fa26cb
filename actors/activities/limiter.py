"""The limit of concurrent attempts of an activity (`max_running`): the host's part, asked by its dispatcher.

An attempt of an activity with a limit is queued here until the store has granted its permit (`store/sql/limits`), by a request
of this host or because another host returned one; it returns its own when its result is known, or unwanted. An attempt in a
retry delay holds none: it asks after the delay.

Nothing here has to survive. A permit is a row; a restarted host finds its permits in the store, and returns those whose
attempts are not submitted again. One exchange with the store is under way at a time, for all that has gathered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from durable_ray.actors.activities.permits import PERMITS, activity_limit, activity_limits
from durable_ray.actors.activities.ports import Address, Invocation, Peers
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.code.described import KnownActivity
from durable_ray.actors.store.background import Blocking, until_answered
from durable_ray.actors.store.contract import Fenced, LimitStore
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.records import Fence, Permit

log = logging.getLogger("durable_ray.activities")

T = TypeVar("T")


class ActivityLimiter:
    """Attempts of limited activities on one host: those that wait for a permit, and the permits of those that run."""

    def __init__(
        self,
        store: LimitStore,
        fence: Fence,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        peers: Peers,
        priority_of: Callable[[str], int],
        blocking: Blocking,
    ) -> None:
        self._store = store
        self._fence = fence
        self._definition_cache = definition_cache
        self._settings = settings
        self._peers = peers
        self._priority_of = priority_of
        self._blocking = blocking
        self._loop = asyncio.get_running_loop()
        #: Set by the dispatcher: called with attempts whose permits were granted.
        self.granted: Callable[[Sequence[Invocation]], None]
        #: Set by the dispatcher: whether an attempt was submitted and has no result. While its code is looked up, it has not
        #: asked for its permit, but may have one from before its host was restarted.
        self.submitted: Callable[[Address], bool]
        #: Not granted yet (or not known to be), in the order in which they came.
        self._waiting: dict[Address, Invocation] = {}
        #: Granted and under way.
        self._running: dict[Address, Permit] = {}
        #: What the next exchange with the store brings.
        self._asked: dict[Address, Permit] = {}
        self._returned: dict[Address, Permit] = {}
        self._refresh = False
        self._exchanging: asyncio.Task[None] | None = None
        self._open = self._closed = False

    def admits(self, invocation: Invocation, known: KnownActivity) -> bool:
        """Whether this attempt may begin now. If not, it is queued, and `granted` is called with it when it may."""
        limit = self._settings.max_running_activities.get(invocation.name, known.options.max_running)
        if limit is None or invocation.address in self._running:
            return True
        if invocation.address not in self._waiting:
            self._waiting[invocation.address] = invocation
            self._ask(invocation)
        return False

    def release(self, address: Address) -> None:
        """Its result is known, or unwanted: return its permit, if it has one or has asked for one."""
        if not (self._running or self._waiting):
            return
        invocation = self._waiting.pop(address, None)
        permit = self._running.pop(address, None) or self._asked.pop(address, None)
        if permit is None and invocation is not None:
            permit = Permit(invocation.name, self._fence.host, *_fields(address))
        if permit is not None:
            self._returned[address] = permit
            self._exchange_soon()

    def withdraw(self, instance_id: str) -> None:
        """The instance has ended: its queued attempts are dropped. Running ones run to their end."""
        for address in [address for address in self._waiting if address.instance_id == instance_id]:
            self.release(address)

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs here under a limit, or has to be returned."""
        return bool(self._running or self._waiting) or self._exchanging is not None

    def close(self) -> None:
        """Exchange no more. The permits stay with this host's next process."""
        self._closed = True
        if self._exchanging is not None:
            self._exchanging.cancel()

    def refresh(self) -> None:
        """Read this host's permits: some may have been granted meanwhile, others may belong to no attempt."""
        self._open = self._refresh = True
        self._exchange_soon()

    # --- inside -----------------------------------------------------------------------------------

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
            elif self._open and not self._wanted(address):
                self._returned[address] = permit  # it was cancelled meanwhile
        if ready:
            self.granted(ready)
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
            elif not self._wanted(address):
                self._returned[address] = permit
        for address, invocation in self._waiting.items():
            limited = activity_limit(invocation.name, self._definition_cache, self._settings) is not None
            if limited and address not in found and address not in self._asked:
                self._ask(invocation)

    def _wanted(self, address: Address) -> bool:
        return address in self._waiting or address in self._running or self.submitted(address)


def _fields(address: Address) -> tuple[str, str, int, int]:
    return address.instance_id, address.execution_id, address.task_id, address.attempt


def address_of(permit: Permit) -> Address:
    """Whose permit it is."""
    return Address(permit.instance_id, permit.execution_id, permit.task_id, permit.attempt)
