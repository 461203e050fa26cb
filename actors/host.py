"""One host: what it does when a turn is durable, when it comes back from the dead, and when it is asked to leave.

The turns themselves are in `lanes`, who is in memory in `residence`, what callers may ask in `desk`. This file joins them
and holds the effects: what a committed turn sets going.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from durable_ray.actors.clock import Clock
from durable_ray.actors.committer import Committer
from durable_ray.actors.dues import Dues
from durable_ray.actors.lanes import Lanes
from durable_ray.actors.library import DefinitionMissing, Library
from durable_ray.actors.live import Letter, Live
from durable_ray.actors.messages import Ending, Reply
from durable_ray.actors.nursery import Nursery
from durable_ray.actors.packing import DefinitionCannotLoad
from durable_ray.actors.packing import PYTHON_PAYLOADS
from durable_ray.actors.placing import is_dedicated
from durable_ray.actors.ports import Activities, ActivityResult, Address, Invocation, Marker, OnResult, Peers
from durable_ray.actors.residence import Residence
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Store, StoreError
from durable_ray.actors.store.records import Fence, InstanceRow
from durable_ray.actors.store.writes import Done, Hibernate, Stale, TurnCommitted
from durable_ray.actors.turns import Turn, set_aside
from durable_ray.actors.waiters import Waiters
from durable_ray.orchestrations import events as ev
from durable_ray.orchestrations.codec import encode_event
from durable_ray.orchestrations.events import Message
from durable_ray.orchestrations.failures import FailureDetails
from durable_ray.orchestrations.replay import Execution
from durable_ray.orchestrations.snapshot import Snapshot

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

#: Due times of instances that are not in memory are kept for this many, the soonest.
_MANY_DUES = 10_000
_FAR = 2**62
#: Stands in the heap where the next ones have to be fetched; no instance has an empty ID.
_MORE = ""
_RETRY_CODE = 5.0


class InstanceHost:
    """Instances of one host name: one (dedicated) or many (a partition)."""

    def __init__(
        self,
        store: Store,
        fence: Fence,
        clock: Clock,
        library: Library,
        settings: HubSettings,
        peers: Peers,
        marker: Marker,
        activities: Callable[[OnResult, Library], Activities],
    ) -> None:
        self.name = fence.host
        self.fence = fence
        self.store = store
        self.clock = clock
        self.library = library
        self.settings = settings
        self.peers = peers
        self.waiters = Waiters()
        self.moved = False
        self._marker = marker
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="reader")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._no_code: set[str] = set()
        self.nursery = Nursery(library, settings)
        self.committer = Committer(store, fence, self._loop, self._deployed)
        self.residence = Residence(self.name, store, self.blocking, self._arrived, settings.max_in_memory)
        self.lanes = Lanes(clock, library, self.committer, marker, self.nursery.birth, settings.receipt_seconds, self)
        self.dues = Dues(clock, self._rung)
        self.activities = activities(self._result, library)

    # --- life -------------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up where the predecessor left off."""
        await self.blocking(self.library.refresh)
        blamed = self._marker.take()
        if blamed is not None:
            await self._blame(blamed)
        await self.activities.adopt()
        now = self.clock.now()
        for instance_id in await self.blocking(lambda: self.store.to_revive(self.name, now)):
            found = await self.residence.get(instance_id)
            if isinstance(found, Live):
                self._redispatch(found)
                self.lanes.enqueue(found)
        await self._fetch_dues()

    async def close(self) -> None:
        """Stop: nothing is lost by it, nothing more is answered."""
        self.moved = True
        for task in tuple(self._tasks):
            task.cancel()
        self.dues.close()
        self.waiters.moved(self.waiters.waited_for())
        await self.activities.close()
        await self._loop.run_in_executor(self._threads, self.committer.close)
        for live in self.residence.all():
            self.residence.drop(live)
        self._threads.shutdown(wait=False)

    @property
    def idle(self) -> bool:
        """Whether nothing will happen until something comes from outside or time passes."""
        return self.lanes.idle and self.residence.idle and self.activities.idle and not self._busy_tasks

    async def blocking(self, call: Callable[[], T]) -> T:
        """Run `call` on a thread that may block."""
        self._busy_tasks += 1
        try:
            return await self._loop.run_in_executor(self._threads, call)
        finally:
            self._busy_tasks -= 1

    _busy_tasks = 0

    def spawn(self, work: Any) -> None:
        """Run a coroutine of the host's own; an error in it is logged, never lost."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("host %s: background work failed", self.name, exc_info=task.exception())

    # --- bringing an instance to its next turn ------------------------------------------------------------------------------

    def summon(self, instance_ids: Iterable[str]) -> None:
        """There is something in the store for these: read it."""
        for instance_id in instance_ids:
            live = self.residence.peek(instance_id)
            if live is None:
                self.residence.get(instance_id)
            else:
                live.dirty = True
                self.lanes.enqueue(live)

    def born(self, row: InstanceRow) -> None:
        """An instance of this host was just created."""
        existing = self.residence.peek(row.instance_id)
        if existing is not None:
            self._drop(existing)
        self._arrived(self.residence.enter(row))

    def _arrived(self, live: Live) -> None:
        due = live.row.start_at if live.unstarted else live.snapshot.next_due()
        if due is not None and due > self.clock.now():
            self._arm(live, due)
            if live.unstarted:
                return
        self.lanes.enqueue(live)

    def prepare(self, live: Live) -> bool:
        """Whether `live` can take a turn now; if not, see to it."""
        if live.dirty:
            self.residence.read_inbox(live)
            return False
        if live.unstarted and not self.may_begin(live):
            return False
        if live.execution is None and not live.snapshot.finished:
            return self._replay(live)
        return True

    def may_begin(self, live: Live) -> bool:
        """Whether an instance that has not begun may do so now: its time has come, or it is to be terminated."""
        start_at = live.row.start_at
        if start_at is None or start_at <= self.clock.now():
            return True
        return any(isinstance(letter.message.event, ev.TerminateRequested) for letter in live.letters)

    def _replay(self, live: Live) -> bool:
        code_id = live.snapshot.code_id or live.row.code_id
        orchestrator = self.library.loaded_orchestrator(live.row.name, code_id)
        if orchestrator is None:
            live.busy = True
            self.spawn(self._fetch_code(live, code_id))
            return False
        live.execution = Execution(live.instance_id, orchestrator, PYTHON_PAYLOADS)
        history = self.residence.histories.pop(live.instance_id, None)
        if history:
            self._marker.set(live.instance_id)
            try:
                decision = live.execution.advance(history, replaying=True)
            except Exception as error:
                self._fail(live, FailureDetails.of(error))
                return False
            finally:
                self._marker.clear()
            if decision.commands or decision.outcome:
                live.leftover = decision
        return True

    async def _fetch_code(self, live: Live, code_id: str) -> None:
        try:
            await self.blocking(lambda: self.library.open("orchestrator", live.row.name, code_id))
        except (DefinitionMissing, DefinitionCannotLoad) as error:
            # Not the instance's fault: it waits, says so, and goes on when the code can be had.
            log.warning("instance %r waits for its code: %s", live.instance_id, error)
            live.waiting_reason = f"code: {error}"
            await self.blocking(lambda: self.store.set_waiting_reason(live.instance_id, live.waiting_reason))
            self._no_code.add(live.instance_id)
            self._loop.call_later(_RETRY_CODE, self._try_code_again, live)
            return
        live.busy = False
        self._no_code.discard(live.instance_id)
        self.lanes.enqueue(live)

    def _try_code_again(self, live: Live) -> None:
        live.busy = False
        self.lanes.enqueue(live)

    # --- what a turn sets going ---------------------------------------------------------------------------------------------

    def committed(self, live: Live, turn: Turn, answer: TurnCommitted) -> None:
        """The turn is durable: act."""
        append, snapshot = turn.append, live.snapshot
        live.carried.difference_update(turn.write.consumed)
        self._acknowledge(turn)
        if append.dispatch and not snapshot.finished:
            self.activities.submit([self._invocation(live, task_id) for task_id in append.dispatch])
        if append.cancel:
            self.activities.cancel([self._address(live, task_id) for task_id in append.cancel])
        self._wake(turn, answer)
        if turn.successor is not None:
            self._succeed(live, turn.successor, append.successor or [])
        if live.snapshot.finished:
            self._finished(live)
            return
        if turn.write.turn == 0:
            self.waiters.started(live.instance_id, live.status)
        due = live.snapshot.next_due()
        if due is not None:
            self._arm(live, due)

    def _acknowledge(self, turn: Turn) -> None:
        """The results this turn took are durable (or nobody's): whoever keeps them may let go."""
        results = [
            Address(turn.write.instance_id, letter.message.execution_id or "", event.task_id, event.attempt)
            for letter in turn.letters
            if isinstance(event := letter.message.event, ev.ActivityCompleted | ev.ActivityFailed)
        ]
        if results:
            self.activities.acknowledge(results)

    def _wake(self, turn: Turn, answer: TurnCommitted) -> None:
        born = {child.instance_id: child for child in turn.write.children}
        for instance_id, (host, resident) in answer.woken.items():
            if host != self.name:
                self.peers.nudge(host, [instance_id], resident)
            elif instance_id in born:
                self.born(self.nursery.row(born[instance_id]))
            else:
                self.summon([instance_id])

    def _succeed(self, live: Live, successor: Snapshot, events: list[ev.Event]) -> None:
        """Continue-as-new: the same instance, a new execution on the newest code."""
        if live.execution is not None:
            live.execution.close()
            live.execution = None
        live.snapshot = successor
        live.row = replace(
            live.row,
            execution_id=successor.execution_id,
            input=successor.input,
            version=successor.version,
            code_id=successor.code_id,
            generation=successor.generation,
        )
        live.armed = None
        self.residence.histories[live.instance_id] = events
        self.lanes.enqueue(live)

    def _finished(self, live: Live) -> None:
        snapshot = live.snapshot
        failure = encode_event(ev.ExecutionFailed(snapshot.failure)) if snapshot.failure else None
        for letter in live.letters:
            letter.reply(Reply("finished", snapshot.status))
        live.letters.clear()
        self.residence.drop(live)
        self.waiters.ended(Ending(live.instance_id, snapshot.status, snapshot.output, failure))
        if is_dedicated(self.name):
            self.peers.finished([live.instance_id])

    def refused(self, live: Live, letters: list[Letter], error: Exception | None) -> None:
        """A turn was not made: forget what is in memory, and let the letters find the instance as it is now."""
        letters = [letter for letter in [*letters, *live.letters] if letter.row is None]
        live.letters.clear()
        live.busy = False
        self.residence.drop(live)
        self.spawn(self._deliver_again(live.instance_id, letters, 0.5 if error else 0.0))

    async def _deliver_again(self, instance_id: str, letters: list[Letter], delay: float) -> None:
        if delay:
            await asyncio.sleep(delay)
        found = await self.residence.get(instance_id)
        for letter in letters:
            if isinstance(found, Live):
                self.lanes.post(found, letter)
            elif found is None:
                letter.reply(Reply("absent"))
            else:
                letter.reply(Reply("finished", found.status) if found.finished else Reply("moved"))

    def fenced(self) -> None:
        """Somebody else owns this host: stop acting at once."""
        if not self.moved:
            self.moved = True
            log.error("host %s was fenced (epoch %d): this process ends", self.name, self.fence.epoch)
            self.peers.fenced(self.name)

    def _drop(self, live: Live) -> None:
        letters = [letter for letter in live.letters if letter.row is None]
        live.letters.clear()
        self.residence.drop(live)
        if letters:
            self.spawn(self._deliver_again(live.instance_id, letters, 0.0))

    # --- leaving ------------------------------------------------------------------------------------------------------------

    async def may_leave(self, instance_id: str) -> bool:
        """Give up a dedicated instance that merely waits (or has finished): its gate closes, the store knows it sleeps.

        False, and nothing changed, if it has something to do.
        """
        live = self.residence.peek(instance_id)
        if live is None:
            # Finished, or never arrived: only a load under way would speak against leaving.
            if not self.residence.idle:
                return False
            self.moved = True
            return True
        if live.unstarted or not self._merely_waits(live):
            return False
        self.moved = True
        write = Hibernate(live.instance_id, live.snapshot.execution_id, self.name, live.turn, live.snapshot.next_due())
        try:
            (answer,) = await self.committer.write([write])
        except StoreError as error:
            log.warning("%r could not be put to sleep: %s", instance_id, error)
            answer = Stale()
        if isinstance(answer, Done) and self._merely_waits(live):
            return True
        self.moved = False
        live.dirty = True
        self.lanes.enqueue(live)
        return False

    def _merely_waits(self, live: Live) -> bool:
        busy = live.busy or live.queued or live.dirty or live.letters or live.leftover
        return not busy and not live.snapshot.activities

    # --- time -----------------------------------------------------------------------------------------------------------------

    def _arm(self, live: Live, due: int) -> None:
        if live.armed is None or due < live.armed:
            live.armed = due
            self.dues.add(due, live.instance_id)

    def _rung(self, instance_ids: list[str]) -> None:
        for instance_id in instance_ids:
            if instance_id == _MORE:
                self.spawn(self._fetch_dues())
                continue
            live = self.residence.peek(instance_id)
            if live is None:
                self.residence.get(instance_id)
                continue
            live.armed = None
            due = live.row.start_at if live.unstarted else live.snapshot.next_due()
            if due is not None and due > self.clock.now():
                self._arm(live, due)
            else:
                self.lanes.enqueue(live)

    async def _fetch_dues(self) -> None:
        """Due times of instances that are not in memory: the soonest now, more when the last of these has come."""
        found = await self.blocking(lambda: self.store.due(self.name, _FAR, _MANY_DUES))
        for instance_id, due in found:
            self.dues.add(due, instance_id)
        if len(found) == _MANY_DUES:
            self.dues.add(found[-1][1], _MORE)

    # --- activities -------------------------------------------------------------------------------------------------------------

    def _address(self, live: Live, task_id: int) -> Address:
        task = live.snapshot.activities.get(task_id)
        return Address(live.instance_id, live.snapshot.execution_id, task_id, task.attempt if task else 1)

    def _invocation(self, live: Live, task_id: int) -> Invocation:
        task = live.snapshot.activities[task_id]
        assert isinstance(task.scheduled, ev.ActivityScheduled)
        return Invocation(self._address(live, task_id), task.scheduled.name, task.code_id, task.scheduled.input)

    def _redispatch(self, live: Live) -> None:
        """Ask again for what was under way when the predecessor died; what survived it on a worker is not run again."""
        under_way = [task_id for task_id, task in live.snapshot.activities.items() if task.retry_at is None]
        if under_way:
            self.activities.submit([self._invocation(live, task_id) for task_id in under_way])

    def _result(self, address: Address, event: ActivityResult) -> None:
        """An activity answered. Its address decides whether anybody still wants to know."""
        message_id = f"{address.execution_id}:{address.task_id}:{address.attempt}"
        letter = Letter(Message(message_id, event, address.execution_id))
        live = self.residence.peek(address.instance_id)
        if live is not None:
            self.lanes.post(live, letter)
        else:
            self.spawn(self._deliver_again(address.instance_id, [letter], 0.0))

    # --- recovery ---------------------------------------------------------------------------------------------------------------

    async def _blame(self, instance_id: str) -> None:
        """The predecessor died while this instance's code ran."""
        count = await self.blocking(lambda: self.store.note_recovery(instance_id))
        if count <= self.settings.max_recoveries:
            return
        found = await self.residence.get(instance_id)
        if isinstance(found, Live):
            failure = FailureDetails(
                "durable_ray.Poisoned",
                f"its host died {count} times while this instance's code ran; it was set aside so that others go on. "
                "Look into the host's log for the cause (memory, a native crash, an endless loop), then rewind it.",
            )
            self._fail(found, failure)

    def _fail(self, live: Live, failure: FailureDetails) -> None:
        turn = set_aside(live, self.clock.now(), failure, self.library, self.nursery.birth)
        turn.letters.extend(live.letters)
        live.letters = []
        self.lanes.submit(live, turn)

    def _deployed(self, revision: int) -> None:
        if revision > self.library.revision:
            self.spawn(self.blocking(self.library.refresh))
