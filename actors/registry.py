"""The registry: answers what is asked about instances, starts those with a chosen ID, and finds every instance its host.

It owns the hub (lease, heartbeat, upkeep), and is asked only where no host is known: the way of an event to a running
instance does not lead through here. It moves payloads and code as text and bytes and opens neither.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from durable_ray.actors.admission import Admission, Hosts
from durable_ray.actors.clock import SECOND, Clock
from durable_ray.actors.committer import Committer
from durable_ray.actors.desk import SLICE, delivery_reply, ending_of
from durable_ray.actors.library import Library
from durable_ray.actors.messages import Delivery, Ending, Reply, StartRequest
from durable_ray.actors.nursery import Nursery
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.starting import Start, conceive, replaced_message, start_writes, take_answers
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import DefinitionRow, Fence, InstanceQuery, InstanceRow, Page
from durable_ray.actors.store.writes import PutMessage, Receipt, Write
from durable_ray.actors.turns import out_message, receipt_reply, receipt_text
from durable_ray.actors.waiters import Waiters

log = logging.getLogger("durable_ray.registry")
T = TypeVar("T")


class Registry:
    """Plain class; `bindings` makes it a Ray actor, the tests use it as it is."""

    def __init__(self, store: Store, fence: Fence, clock: Clock, settings: HubSettings, hosts: Hosts) -> None:
        self.store = store
        self.clock = clock
        self.settings = settings
        self.library = Library(store)
        self.waiters = Waiters()
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="registry")
        self._committer = Committer(store, fence, self._loop, self._deployed)
        self._nursery = Nursery(self.library, settings)
        self.admission = Admission(store, clock, self.library, settings, hosts, self.waiters, self.blocking, self.spawn)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calls = 0

    async def open(self) -> None:
        """Learn what is there, revive what is not finished, keep the house."""
        await self.blocking(self.library.refresh)
        await self.admission.open()
        self.spawn(self._keep_house())

    async def close(self) -> None:
        """Stop."""
        for task in tuple(self._tasks):
            task.cancel()
        self.waiters.moved(self.waiters.waited_for())
        await self._loop.run_in_executor(None, self._committer.close)
        self._threads.shutdown(wait=False)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way here."""
        return not self._calls and not self._committer.waiting and self.admission.idle

    async def blocking(self, call: Callable[[], T]) -> T:
        """Run `call` on a thread that may block."""
        self._calls += 1
        try:
            return await self._loop.run_in_executor(self._threads, call)
        finally:
            self._calls -= 1

    def spawn(self, work: Any) -> None:
        """Run a coroutine of the registry's own; an error in it is logged, never lost."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("registry: background work failed", exc_info=task.exception())

    # --- definitions --------------------------------------------------------------------------------------------------------

    async def register(self, definitions: Sequence[DefinitionRow]) -> int:
        """Deploy definitions; answers the hub's revision, which a start may carry so that it finds them."""
        revision = await self.blocking(lambda: self.store.put_definitions(definitions))
        await self.blocking(self.library.refresh)
        return revision

    async def definitions(self) -> list[DefinitionRow]:
        """All that is deployed, without the code."""
        return list(await self.blocking(self.store.definitions))

    def _deployed(self, revision: int) -> None:
        if revision > self.library.revision:
            self.spawn(self.blocking(self.library.refresh))

    # --- starting and delivering ----------------------------------------------------------------------------------------------

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Reply]:
        """Begin instances, wherever they belong. Each is durable when this answers."""
        known = await self._recorded([r.request_id for r in requests if r.retry])
        if any(request.revision > self.library.revision for request in requests):
            await self.blocking(self.library.refresh)
        now = self.clock.now()
        starts = conceive([r for r in requests if r.request_id not in known], self._nursery, now)
        writes = start_writes(starts, now, self.settings.receipt_seconds)
        if writes:
            take_answers(starts, await self._committer.write(writes))
        await self._begun(starts)
        replies = {start.request.request_id: start.reply for start in starts}
        return [replies.get(r.request_id) or known[r.request_id] for r in requests]

    async def _begun(self, starts: Iterable[Start]) -> None:
        begun = [start for start in starts if start.new and start.reply and start.reply.code == "ok"]
        told = [message for s in begun if s.replaced and (message := replaced_message(s.replaced))]
        if told:
            await self._committer.write([PutMessage(message) for message in told])
        self.wake([(start.new.host, start.new.instance_id) for start in begun if start.new])
        for start in begun:
            old = start.replaced
            if old is not None and start.new is not None and old.host != start.new.host and not old.finished:
                self.wake([(old.host, old.instance_id)])

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Reply]:
        """Bring messages to instances that are not in memory; "moved" (with the host) for those that are."""
        known = await self._recorded([d.request_id for d in deliveries if d.retry])
        rows = await self.blocking(lambda: self.store.rows([d.instance_id for d in deliveries]))
        until = self.clock.now() + int(self.settings.receipt_seconds * SECOND)
        replies: list[Reply | None] = []
        writes: list[Write] = []
        for delivery in deliveries:
            row = rows.get(delivery.instance_id)
            reply = known.get(delivery.request_id) or self._refusal(delivery, row)
            replies.append(reply)
            if reply is None:
                receipt = Receipt(delivery.request_id, receipt_text(Reply("ok")), until)
                writes.append(PutMessage(out_message(delivery.instance_id, delivery.message), receipt))
        answers = iter(await self._committer.write(writes)) if writes else iter(())
        woken: list[tuple[str, str]] = []
        for position, delivery in enumerate(deliveries):
            if replies[position] is None:
                reply = replies[position] = delivery_reply(next(answers))
                if reply.code == "ok":
                    woken.append((reply.host, delivery.instance_id))
        # Acknowledged only after whoever holds the instance knows: an event sent straight to it afterwards comes later.
        await self.admission.wake(woken)
        return [reply for reply in replies if reply is not None]

    def _refusal(self, delivery: Delivery, row: InstanceRow | None) -> Reply | None:
        if row is None:
            return Reply("absent")
        if row.finished:
            return Reply("finished", row.status)
        if row.placement == "shared" or self.admission.holds(row.instance_id):
            return Reply("moved", host=row.host, placement=row.placement)
        return None

    async def resolve(self, instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """instance_id -> (host, status) of those that exist."""
        rows = await self.blocking(lambda: self.store.rows(instance_ids))
        return {instance_id: (row.host, row.status) for instance_id, row in rows.items()}

    async def ensure(self, host: str) -> bool:
        """Make sure that a host has a process; False if there is no such host."""
        return await self.admission.ensure(host)

    # --- asking ---------------------------------------------------------------------------------------------------------------

    async def row(self, instance_id: str, history: bool = False) -> tuple[InstanceRow, tuple[str, ...]] | None:
        """An instance's row and, if asked for, the encoded chunks of its history."""
        if history:
            found = await self.blocking(lambda: self.store.load([instance_id]))
            loaded = found.get(instance_id)
            return (loaded.row, loaded.history) if loaded else None
        row = (await self.blocking(lambda: self.store.rows([instance_id]))).get(instance_id)
        return (row, ()) if row else None

    async def query(self, query: InstanceQuery, limit: int, token: str | None = None) -> Page:
        """A page of instances, by created time."""
        return await self.blocking(lambda: self.store.query(query, limit, token))

    async def count(self, query: InstanceQuery) -> int:
        """How many instances match."""
        return await self.blocking(lambda: self.store.count(query))

    async def counts(self) -> Mapping[tuple[str, str], int]:
        """(name, status) -> how many."""
        return await self.blocking(self.store.counts)

    async def wait(
        self, instance_ids: Sequence[str], seconds: float, *, start: bool = False, all_of_them: bool = False
    ) -> list[Ending]:
        """How these ended; "moved" for those that are in memory somewhere: ask there."""
        futures = {i: (self.waiters.start(i) if start else self.waiters.end(i)) for i in instance_ids}
        try:
            rows = await self.blocking(lambda: self.store.rows(instance_ids))
            done = [self._standing(i, rows.get(i), start) for i in instance_ids]
            found = [ending for ending in done if ending is not None]
            if not found and futures:
                await asyncio.wait(futures.values(), timeout=min(seconds, SLICE), return_when=asyncio.FIRST_COMPLETED)
                found = [future.result() for future in futures.values() if future.done()]
            return found
        finally:
            for instance_id, future in futures.items():
                self.waiters.forget(instance_id, future)

    def _standing(self, instance_id: str, row: InstanceRow | None, start: bool) -> Ending | None:
        if row is None:
            return Ending(instance_id, "absent")
        if row.finished or (start and row.turn):
            return ending_of(row)
        if row.placement == "shared" or self.admission.holds(instance_id):
            return Ending(instance_id, "moved")
        return None

    # --- words from hosts -----------------------------------------------------------------------------------------------------

    def wake(self, targets: Iterable[tuple[str, str]]) -> None:
        """There is something in the store for these (host, instance)."""
        targets = list(targets)
        if targets:
            self.spawn(self.admission.wake(targets))

    async def finished(self, instance_ids: Sequence[str]) -> None:
        """These dedicated instances have ended."""
        rows = await self.blocking(lambda: self.store.rows(instance_ids))
        for row in rows.values():
            if row.finished:
                self.waiters.ended(ending_of(row))
        await self.admission.ended(instance_ids)

    async def left(self, instance_id: str) -> None:
        """The dedicated host of this instance has left memory."""
        await self.admission.left(instance_id)

    # --- upkeep -----------------------------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep_interval)
            try:
                await self.admission.sweep()
                now = self.clock.now()
                await self.blocking(lambda: self.store.heartbeat(now))
                await self.blocking(lambda: self.store.forget_receipts(now, 10_000))
                await self.blocking(self.store.checkpoint)
            except Exception:
                log.exception("the registry's sweep failed; it is tried again")

    async def _recorded(self, request_ids: list[str]) -> dict[str, Reply]:
        if not request_ids:
            return {}
        texts = await self.blocking(lambda: self.store.receipts(request_ids))
        return {request_id: receipt_reply(text) for request_id, text in texts.items()}
