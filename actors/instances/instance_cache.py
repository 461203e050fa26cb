"""The instance cache: loads instances on demand in batches and evicts the least recently used.

Loads that are requested while a read is under way share the next read: the current one may have seen an older state than the
notification they are requested for. The history of a loaded instance is replayed when it first takes a turn; an evicted one
leaves nothing in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from durable_ray.actors.errors import DamagedHistory
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.active_instance import ActiveInstance, InstanceEvent, InstanceState, PendingMessage
from durable_ray.actors.instances.histories import message_of, restore, snapshot_from_row
from durable_ray.actors.store.background import Blocking, TaskSet, until_answered
from durable_ray.actors.store.contract import ReadStore
from durable_ray.actors.store.records import InboxMessage, InstanceRow, Loaded
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.history.snapshot import fold

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

#: Instances per read: enough to amortise it, few enough to keep the loop responsive while they are folded.
_BATCH = 200


class InstanceCache:
    """The instances of one host that are in memory."""

    def __init__(
        self,
        host: str,
        store: ReadStore,
        blocking: Blocking,
        on_loaded: Callable[[ActiveInstance], None],
        on_ready: Callable[[ActiveInstance], None],
        on_damaged: Callable[[ActiveInstance], None],
        on_elsewhere: Callable[[InstanceRow], None],
        limit: int,
    ) -> None:
        self._host = host
        self._store = store
        self._blocking = blocking
        self._on_loaded = on_loaded
        self._on_ready = on_ready
        self._on_damaged = on_damaged
        #: Gets the row of one that was to be loaded and is not this host's to run: it has ended, or moved. Not of one that is
        #: in memory: the row is of an execution that was replaced, and whoever waits, waits for the new one.
        self._on_elsewhere = on_elsewhere
        self._limit = limit
        self._active: OrderedDict[str, ActiveInstance] = OrderedDict()
        #: The loads of the next read, and of the one under way.
        self._next_load: dict[str, asyncio.Future[ActiveInstance | InstanceRow | None]] = {}
        self._loading: dict[str, asyncio.Future[ActiveInstance | InstanceRow | None]] = {}
        self._reading = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskSet()
        #: Histories of instances that were loaded and have not been replayed yet.
        self.histories: dict[str, list[Event]] = {}

    def __len__(self) -> int:
        return len(self._active)

    @property
    def idle(self) -> bool:
        """Whether nothing is being loaded."""
        return not self._next_load and not self._reading

    def peek(self, instance_id: str) -> ActiveInstance | None:
        """The instance, if it is in memory."""
        active = self._active.get(instance_id)
        if active is not None:
            self._active.move_to_end(instance_id)
        return active

    def priority_of(self, instance_id: str) -> int:
        """The priority of an instance in memory."""
        active = self._active.get(instance_id)
        return active.row.priority if active is not None else 0

    def all(self) -> tuple[ActiveInstance, ...]:
        """Everything in memory."""
        return tuple(self._active.values())

    async def find(self, instance_id: str) -> ActiveInstance | InstanceRow | None:
        """As `get`, for a caller who may be cancelled while others wait for the same load."""
        found: ActiveInstance | InstanceRow | None = self.peek(instance_id)
        while found is None or (isinstance(found, ActiveInstance) and found.state is InstanceState.DROPPED):
            found = await asyncio.shield(self.get(instance_id))
            if found is None:
                return None
        return found

    def get(self, instance_id: str) -> asyncio.Future[ActiveInstance | InstanceRow | None]:
        """The instance in memory; or its row, if it has finished or belongs to another host; or None, if there is none."""
        future = self._next_load.get(instance_id)
        if future is not None:
            return future
        future = self._loop.create_future()
        if self._closed:
            future.cancel()
            return future
        active = self.peek(instance_id)
        if active is not None:
            future.set_result(active)
            return future
        self._next_load[instance_id] = future
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._read)
        return future

    def create(self, row: InstanceRow) -> ActiveInstance:
        """Add an instance that was just created, without reading it."""
        active = ActiveInstance(row, fold(row.instance_id, ()))
        self.add(active)
        return active

    def add(self, active: ActiveInstance) -> None:
        """Add an instance that was made elsewhere."""
        self._active[active.instance_id] = active
        self._evict_idle()

    def drop(self, active: ActiveInstance) -> None:
        """Remove an instance from memory; the caller has to answer or redeliver its pending messages."""
        active.on(InstanceEvent.DROPPED)
        if self._active.get(active.instance_id) is active:
            del self._active[active.instance_id]
            self.histories.pop(active.instance_id, None)
        if active.execution is not None:
            active.execution.close()
            active.execution = None

    def read_inbox(self, active: ActiveInstance, on_replaced: Callable[[ActiveInstance], None]) -> None:
        """Read its inbox; the instance takes no turn until the rows are among its pending messages.

        If there are none, the notification may have been about another execution that replaced it: then `on_replaced` is
        called.
        """
        active.on(InstanceEvent.READ)
        active.dirty = False

        def look() -> tuple[Sequence[InboxMessage], InstanceRow | None]:
            rows = self._store.inbox([active.instance_id])
            if any(row.row not in active.taken_rows for row in rows):
                return rows, active.row
            return (), self._store.rows([active.instance_id]).get(active.instance_id)

        async def read() -> None:
            rows: Sequence[InboxMessage] = ()
            now: InstanceRow | None = active.row
            try:
                rows, now = await self._blocking(look)
            except Exception as error:
                log.warning("reading the inbox of %r failed, trying again: %s", active.instance_id, error)
                active.dirty = True
                await asyncio.sleep(1)
            active.on(InstanceEvent.DONE)
            if active.state is InstanceState.DROPPED:
                return
            if now is None or _replaced(now, active):
                on_replaced(active)
                return
            self._add_inbox_rows(active, rows)
            self._on_ready(active)

        self._tasks.spawn(read())

    def close(self) -> None:
        """Stop loading; loads that are waited for are cancelled."""
        self._closed = True
        self._tasks.cancel()
        for future in (*self._next_load.values(), *self._loading.values()):
            future.cancel()
        self._next_load.clear()
        self._loading.clear()

    def _read(self) -> None:
        ids = list(self._next_load)[:_BATCH]
        self._loading = {instance_id: self._next_load.pop(instance_id) for instance_id in ids}

        async def read() -> None:
            # Most loads stem from a notification or a timer, which is not repeated.
            found = await until_answered(self._blocking, lambda: self._store.load(ids), f"loading {len(ids)} instances")
            self._resolve_loads(found)
            if self._next_load:
                self._read()
            else:
                self._reading = False

        self._tasks.spawn(read())

    def _resolve_loads(self, found: Mapping[str, Loaded]) -> None:
        asked, self._loading = self._loading, {}
        for instance_id, future in asked.items():
            loaded = found.get(instance_id)
            answer: ActiveInstance | InstanceRow | None = None if loaded is None else loaded.row
            try:
                if loaded is not None and not loaded.row.finished and loaded.row.host == self._host:
                    answer = self._activate(loaded)
                elif loaded is not None and instance_id not in self._active:  # else it was started anew meanwhile
                    self._on_elsewhere(loaded.row)
            except Exception as error:
                # One that cannot be read must not fail those that were loaded with it.
                log.exception("instance %r cannot be read", instance_id)
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # retrieved, so that asyncio does not log it when nothing awaits it
            if not future.done():
                future.set_result(answer)
            if isinstance(answer, ActiveInstance) and (later := self._next_load.pop(instance_id, None)) is not None:
                # The inbox, and whether it was replaced, are read again before its next turn.
                self._check_inbox(answer)
                if not later.done():
                    later.set_result(answer)

    def _check_inbox(self, active: ActiveInstance) -> None:
        active.dirty = True
        self._on_ready(active)

    def _activate(self, loaded: Loaded) -> ActiveInstance:
        existing = self._active.get(loaded.row.instance_id)
        if existing is not None:
            if loaded.inbox:
                self._check_inbox(existing)  # it was created meanwhile, and has messages
            return existing
        damage: DamagedHistory | None = None
        try:
            history, snapshot = restore(loaded)
        except DamagedHistory as error:
            damage, history, snapshot = error, [], snapshot_from_row(loaded.row)
        active = ActiveInstance(loaded.row, snapshot)
        self.histories[active.instance_id] = history
        self._add_inbox_rows(active, loaded.inbox)
        if damage is not None:
            self._quarantine(active, damage)
        self._active[active.instance_id] = active
        self._evict_idle()
        if instance_log.log.isEnabledFor(logging.DEBUG):
            row = loaded.row
            instance_log.trace(
                "loaded", row.instance_id, row.execution_id, row.turn, events=row.events, inbox=len(loaded.inbox)
            )
        self._on_loaded(active)
        return active

    def _add_inbox_rows(self, active: ActiveInstance, rows: Iterable[InboxMessage]) -> None:
        """Insert messages from the inbox before those that came directly from clients: they were accepted earlier.

        But after those that came from the inbox before and still wait (for `start_at`, or for code).
        """
        pending_messages: list[PendingMessage] = []
        for row in rows:
            if row.row in active.taken_rows:
                continue
            active.taken_rows.add(row.row)
            try:
                pending_messages.append(PendingMessage(message_of(row), row=row.row))
            except DamagedHistory as error:
                self._quarantine(active, error)
        at = 0
        while at < len(active.pending_messages) and active.pending_messages[at].row is not None:
            at += 1
        active.pending_messages[at:at] = pending_messages

    def _quarantine(self, active: ActiveInstance, error: DamagedHistory) -> None:
        log.error("instance %r is damaged: %s", active.instance_id, error)
        active.mark_damaged(f"history: {error}")
        self._on_damaged(active)

    def _evict_idle(self) -> None:
        if len(self._active) <= self._limit:
            return
        traced = instance_log.log.isEnabledFor(logging.DEBUG)
        for active in list(islice(self._active.values(), max(1, self._limit // 10))):
            if not active.at_rest:
                self._active.move_to_end(active.instance_id)  # in use; at the front they would shield all behind them
                continue
            if traced:
                instance_log.trace("evicted", active.instance_id, active.snapshot.execution_id, active.turn)
            self.drop(active)


def _replaced(row: InstanceRow, active: ActiveInstance) -> bool:
    """Whether the row is of another execution, host or turn: the instance was replaced, or ended before its first turn."""
    same = row.host == active.row.host and row.execution_id == active.row.execution_id and row.turn == active.turn
    return row.finished or not same
