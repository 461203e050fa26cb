"""Who is in memory: loading instances when something concerns them, and putting the least recently used away.

Loads that are asked for while one is under way share the next read. An instance in memory has its history replayed when it
first takes a turn, not before; one that is put away leaves nothing behind but its rows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from durable_ray.actors.live import Letter, Live
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import InboxRow, InstanceRow, Loaded
from durable_ray.orchestrations.codec import decode_event, decode_events
from durable_ray.orchestrations.events import Event, Message
from durable_ray.orchestrations.snapshot import fold

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

#: Instances read in one go: enough to amortise the read, few enough to keep the loop responsive while they are folded.
_BATCH = 200


class Residence:
    """The instances of one host that are in memory."""

    def __init__(
        self,
        host: str,
        store: Store,
        blocking: Callable[[Callable[[], object]], Awaitable[object]],
        arrived: Callable[[Live], None],
        limit: int,
    ) -> None:
        self._host = host
        self._store = store
        self._blocking = blocking
        self._arrived = arrived
        self._limit = limit
        self._lives: OrderedDict[str, Live] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[Live | InstanceRow | None]] = {}
        self._reading = False
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

    def peek(self, instance_id: str) -> Live | None:
        """The instance, if it is in memory."""
        live = self._lives.get(instance_id)
        if live is not None:
            self._lives.move_to_end(instance_id)
        return live

    def all(self) -> tuple[Live, ...]:
        """Everything in memory."""
        return tuple(self._lives.values())

    def get(self, instance_id: str) -> asyncio.Future[Live | InstanceRow | None]:
        """The instance in memory; or its row, if it has finished or lives elsewhere; or None, if there is none."""
        future = self._wanted.get(instance_id)
        if future is not None:
            return future
        future = self._loop.create_future()
        live = self.peek(instance_id)
        if live is not None:
            future.set_result(live)
            return future
        self._wanted[instance_id] = future
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._read)
        return future

    def enter(self, row: InstanceRow) -> Live:
        """Take in an instance that was just created, without reading what is known."""
        live = Live(row, fold(row.instance_id, ()))
        self._lives[row.instance_id] = live
        self._make_room()
        return live

    def drop(self, live: Live) -> None:
        """Forget an instance; its letters are the caller's to mind."""
        live.gone = True
        if self._lives.get(live.instance_id) is live:
            del self._lives[live.instance_id]
            self.histories.pop(live.instance_id, None)
        if live.execution is not None:
            live.execution.close()
            live.execution = None

    def read_inbox(self, live: Live) -> None:
        """Fetch the messages that wait in the store; `live` is busy until they are in its mailbox."""
        live.busy, live.dirty = True, False

        async def read() -> None:
            try:
                rows = await self._blocking(lambda: self._store.inbox([live.instance_id]))
            except Exception as error:
                log.warning("reading the inbox of %r failed: %s", live.instance_id, error)
                live.dirty, rows = True, ()
                await asyncio.sleep(1)
            live.busy = False
            if not live.gone:
                _take_in(live, rows)  # type: ignore[arg-type]
                self._arrived(live)

        self._keep(self._loop.create_task(read()))

    def _read(self) -> None:
        ids = list(self._wanted)[:_BATCH]

        async def read() -> None:
            found: Mapping[str, Loaded] | Exception
            try:
                found = await self._blocking(lambda: self._store.load(ids))  # type: ignore[assignment]
            except Exception as error:
                found = error
            self._deliver(ids, found)
            if self._wanted:
                self._read()
            else:
                self._reading = False

        self._keep(self._loop.create_task(read()))

    def _deliver(self, ids: Iterable[str], found: Mapping[str, Loaded] | Exception) -> None:
        for instance_id in ids:
            future = self._wanted.pop(instance_id)
            if isinstance(found, Exception):
                future.set_exception(found)
                future.exception()  # a load that nobody waited for is not an unhandled error
                continue
            loaded = found.get(instance_id)
            if loaded is None or loaded.row.finished or loaded.row.host != self._host:
                future.set_result(None if loaded is None else loaded.row)
            else:
                future.set_result(self._admit(loaded))

    def _admit(self, loaded: Loaded) -> Live:
        existing = self._lives.get(loaded.row.instance_id)
        if existing is not None:
            return existing
        history = [event for chunk in loaded.history for event in decode_events(chunk)]
        live = Live(loaded.row, fold(loaded.row.instance_id, history))
        self.histories[live.instance_id] = history
        _take_in(live, loaded.inbox)
        self._lives[live.instance_id] = live
        self._make_room()
        self._arrived(live)
        return live

    def _make_room(self) -> None:
        if len(self._lives) <= self._limit:
            return
        for live in list(self._lives.values())[: max(1, self._limit // 10)]:
            if not (live.busy or live.queued or live.letters or live.snapshot.activities or live.leftover):
                self.drop(live)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _take_in(live: Live, rows: Iterable[InboxRow]) -> None:
    """Put messages from the store's inbox before whatever came straight from a client: they were accepted earlier."""
    fresh = [row for row in rows if row.row not in live.carried]
    letters = [Letter(Message(r.message_id, decode_event(r.body), r.execution_id), row=r.row) for r in fresh]
    live.carried.update(row.row for row in fresh)
    live.letters[:0] = letters
