"""Who is in memory: loading instances when something concerns them, and putting the least recently used away.

Loads that are asked for while one is under way share the next read: what the one under way has seen may be older than
the word because of which they are asked for. An instance in memory has its history replayed when it
first takes a turn, not before; one that is put away leaves nothing behind but its rows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.instances.histories import DamagedHistory, as_far_as_its_row_says, message_of, restore
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import InboxRow, InstanceRow, Loaded
from durable_ray.actors.store.retrying import until_answered
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.history.snapshot import fold

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

#: Instances read in one go: enough to amortise the read, few enough to keep the loop responsive while they are folded.
_BATCH = 200


class InstanceCache:
    """The instances of one host that are in memory."""

    def __init__(
        self,
        host: str,
        store: Store,
        blocking: Callable[[Callable[[], object]], Awaitable[object]],
        admitted: Callable[[ActiveInstance], None],
        arrived: Callable[[ActiveInstance], None],
        stopped: Callable[[ActiveInstance], None],
        limit: int,
    ) -> None:
        self._host = host
        self._store = store
        self._blocking = blocking
        self._admitted = admitted
        self._arrived = arrived
        self._stopped = stopped
        self._limit = limit
        self._lives: OrderedDict[str, ActiveInstance] = OrderedDict()
        #: Whom the next read will answer, and whom the one under way.
        self._wanted: dict[str, asyncio.Future[ActiveInstance | InstanceRow | None]] = {}
        self._asked: dict[str, asyncio.Future[ActiveInstance | InstanceRow | None]] = {}
        self._reading = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        #: History of those that were loaded and have not been replayed yet.
        self.histories: dict[str, list[Event]] = {}

    def __len__(self) -> int:
        return len(self._lives)

    @property
    def idle(self) -> bool:
        """Whether nothing is being loaded."""
        return not self._wanted and not self._reading

    def peek(self, instance_id: str) -> ActiveInstance | None:
        """The instance, if it is in memory."""
        active = self._lives.get(instance_id)
        if active is not None:
            self._lives.move_to_end(instance_id)
        return active

    def all(self) -> tuple[ActiveInstance, ...]:
        """Everything in memory."""
        return tuple(self._lives.values())

    async def find(self, instance_id: str) -> ActiveInstance | InstanceRow | None:
        """As `get`, for a caller who may be cancelled while others wait for the same load."""
        found: ActiveInstance | InstanceRow | None = self.peek(instance_id)
        while found is None or (isinstance(found, ActiveInstance) and found.gone):
            found = await asyncio.shield(self.get(instance_id))
            if found is None:
                return None
        return found

    def get(self, instance_id: str) -> asyncio.Future[ActiveInstance | InstanceRow | None]:
        """The instance in memory; or its row, if it has finished or lives elsewhere; or None, if there is none."""
        future = self._wanted.get(instance_id)
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
        self._wanted[instance_id] = future
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._read)
        return future

    def enter(self, row: InstanceRow) -> ActiveInstance:
        """Take in an instance that was just created, without reading what is known."""
        active = ActiveInstance(row, fold(row.instance_id, ()))
        self.take(active)
        return active

    def take(self, active: ActiveInstance) -> None:
        """Take in an instance that was made elsewhere."""
        self._lives[active.instance_id] = active
        self._make_room()

    def drop(self, active: ActiveInstance) -> None:
        """Forget an instance; its letters are the caller's to mind."""
        active.gone = True
        if self._lives.get(active.instance_id) is active:
            del self._lives[active.instance_id]
            self.histories.pop(active.instance_id, None)
        if active.execution is not None:
            active.execution.close()
            active.execution = None

    def read_inbox(self, active: ActiveInstance, outdated: Callable[[ActiveInstance], None]) -> None:
        """Fetch the messages that wait in the store; `live` is busy until they are in its mailbox.

        Where there is none, somebody may have wanted to say that another execution has taken its place: then it is
        `outdated`.
        """
        active.busy, active.dirty = True, False

        def look() -> tuple[Sequence[InboxRow], InstanceRow | None]:
            rows = self._store.inbox([active.instance_id])
            if any(row.row not in active.carried for row in rows):
                return rows, active.row
            return (), self._store.rows([active.instance_id]).get(active.instance_id)

        async def read() -> None:
            rows: Sequence[InboxRow] = ()
            now: InstanceRow | None = active.row
            try:
                rows, now = await self._blocking(look)  # type: ignore[misc]
            except Exception as error:
                log.warning("reading the inbox of %r failed, trying again: %s", active.instance_id, error)
                active.dirty = True
                await asyncio.sleep(1)
            active.busy = False
            if active.gone:
                return
            if now is None or _another(now, active):
                outdated(active)
                return
            self._take_in(active, rows)
            self._arrived(active)

        self._keep(self._loop.create_task(read()))

    def close(self) -> None:
        """Load nothing more; whoever waits for a load is told that nothing came of it."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        for future in (*self._wanted.values(), *self._asked.values()):
            future.cancel()
        self._wanted.clear()
        self._asked.clear()

    def _read(self) -> None:
        ids = list(self._wanted)[:_BATCH]
        self._asked = {instance_id: self._wanted.pop(instance_id) for instance_id in ids}

        async def read() -> None:
            # A nudge or a timer is behind most loads, and nobody would repeat it.
            found = await until_answered(self._blocking, lambda: self._store.load(ids), f"loading {len(ids)} instances")
            self._deliver(found)
            if self._wanted:
                self._read()
            else:
                self._reading = False

        self._keep(self._loop.create_task(read()))

    def _deliver(self, found: Mapping[str, Loaded]) -> None:
        asked, self._asked = self._asked, {}
        for instance_id, future in asked.items():
            loaded = found.get(instance_id)
            answer: ActiveInstance | InstanceRow | None = None if loaded is None else loaded.row
            try:
                if loaded is not None and not loaded.row.finished and loaded.row.host == self._host:
                    answer = self._admit(loaded)
            except Exception as error:
                # One that cannot be read must not take those along that were loaded with it.
                log.exception("instance %r cannot be read", instance_id)
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # a load that nobody waited for is not an unhandled error
            if not future.done():
                future.set_result(answer)
            if isinstance(answer, ActiveInstance) and (late := self._wanted.pop(instance_id, None)) is not None:
                # What came after the read, mail or another life, is looked for before its next turn.
                self._look_for_mail(answer)
                if not late.done():
                    late.set_result(answer)

    def _look_for_mail(self, active: ActiveInstance) -> None:
        active.dirty = True
        self._arrived(active)

    def _admit(self, loaded: Loaded) -> ActiveInstance:
        existing = self._lives.get(loaded.row.instance_id)
        if existing is not None:
            if loaded.inbox:
                self._look_for_mail(existing)  # it was born meanwhile, and whoever has written to it may have said so
            return existing
        damage: DamagedHistory | None = None
        try:
            history, snapshot = restore(loaded.row, loaded.history)
        except DamagedHistory as error:
            damage, history, snapshot = error, [], as_far_as_its_row_says(loaded.row)
        active = ActiveInstance(loaded.row, snapshot)
        self.histories[active.instance_id] = history
        self._take_in(active, loaded.inbox)
        if damage is not None:
            self._stop(active, damage)
        self._lives[active.instance_id] = active
        self._make_room()
        if instance_log.log.isEnabledFor(logging.DEBUG):
            row = loaded.row
            instance_log.trace(
                "loaded", row.instance_id, row.execution_id, row.turn, events=row.events, inbox=len(loaded.inbox)
            )
        self._admitted(active)
        return active

    def _take_in(self, active: ActiveInstance, rows: Iterable[InboxRow]) -> None:
        """Put messages from the store's inbox before whatever came straight from a client: they were accepted earlier.

        But after those that came out of the inbox before and still wait (for `start_at`, or for code).
        """
        pending_messages: list[PendingMessage] = []
        for row in rows:
            if row.row in active.carried:
                continue
            active.carried.add(row.row)
            try:
                pending_messages.append(PendingMessage(message_of(row), row=row.row))
            except DamagedHistory as error:
                self._stop(active, error)
        at = 0
        while at < len(active.pending_messages) and active.pending_messages[at].row is not None:
            at += 1
        active.pending_messages[at:at] = pending_messages

    def _stop(self, active: ActiveInstance, error: DamagedHistory) -> None:
        log.error("instance %r is stopped: %s", active.instance_id, error)
        active.stop(f"history: {error}")
        self._stopped(active)

    def _make_room(self) -> None:
        if len(self._lives) <= self._limit:
            return
        traced = instance_log.log.isEnabledFor(logging.DEBUG)
        for active in list(islice(self._lives.values(), max(1, self._limit // 10))):
            if not active.at_rest:
                self._lives.move_to_end(active.instance_id)  # in use; or those that stay would shield all behind them
                continue
            if traced:
                instance_log.trace("evicted", active.instance_id, active.snapshot.execution_id, active.turn)
            self.drop(active)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _another(row: InstanceRow, active: ActiveInstance) -> bool:
    """Whether the store has moved on without `live`: it was replaced, or ended before it began."""
    same = row.host == active.row.host and row.execution_id == active.row.execution_id and row.turn == active.turn
    return row.finished or not same
