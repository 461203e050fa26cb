"""One host: what it does when a turn is durable, when it comes back from the dead, and when it is asked to leave.

The turns themselves are in `turn_scheduler`, who is in memory in `instance_cache`, how an instance gets its code back in `replaying`,
what callers may ask in `service`. This file joins them and holds the effects: what a committed turn sets going.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from msgspec.structs import replace

from durable_ray.actors.activities.limiter import Turnstile
from durable_ray.actors.activities.permits import PERMITS
from durable_ray.actors.activities.ports import Activities, Marker, OnResult, Peers
from durable_ray.actors.clock import Clock
from durable_ray.actors.code.definition_cache import Library
from durable_ray.actors.code.deployments import Deployments
from durable_ray.actors.host.effects import Errands
from durable_ray.actors.host.isolation import Isolating
from durable_ray.actors.host.message_delivery import Redelivery
from durable_ray.actors.host.quarantine import Condemned
from durable_ray.actors.host.replaying import Replaying
from durable_ray.actors.host.timer_queue import Dues
from durable_ray.actors.host.turn_scheduler import Lanes
from durable_ray.actors.host.turns import Turn, set_aside
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.active_instance import Letter, Live
from durable_ray.actors.instances.instance_cache import Residence
from durable_ray.actors.instances.instance_factory import Nursery
from durable_ray.actors.instances.placement import is_dedicated
from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.messages import Ending, Reply
from durable_ray.actors.registry.instance_limiter import limit_of
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Fenced, Store
from durable_ray.actors.store.held import is_held
from durable_ray.actors.store.hub_config import Settled
from durable_ray.actors.store.records import Fence, InstanceRow
from durable_ray.actors.store.retrying import until_answered
from durable_ray.actors.store.writes import TurnCommitted
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.values.failures import FailureDetails

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

#: Due times of instances that are not in memory are kept for this many, the soonest.
_MANY_DUES = 10_000
_FAR = 2**62
#: Stands in the heap where the next ones have to be fetched; no instance has an empty ID.
_MORE = ""


class InstanceHost:
    """Instances of one host name: one (dedicated) or many (a partition)."""

    def __init__(
        self,
        store: Store,
        fence: Fence,
        clock: Clock,
        library: Library,
        settings: Settled,
        peers: Peers,
        marker: Marker,
        activities: Callable[[OnResult, Library], Activities],
    ) -> None:
        self.name = fence.host
        self.fence = fence
        # What asserts the fence by itself (commits, permits) is given the bare store: it is the hot path.
        bare, store = store, store.fenced(fence)
        self.store = store
        self.clock = clock
        self.library = library
        self.settings = settings
        self.peers = peers
        self.waiters = Waiters()
        self.moved = False
        self.marker = marker
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="reader")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._condemned = Condemned(store, library, settings, self.blocking)
        self._isolating = Isolating(self.name, store, self._condemned, self.waiters, peers, self.blocking)
        self.nursery = Nursery(library, settings)
        self.deployments = Deployments(library, self.blocking, self.spawn, lambda: self._replaying.learned())
        self.committer = Committer(bare, fence, self._loop, self.deployments.heard)
        self.residence = Residence(
            self.name, store, self.blocking, self._admitted, self._arrived, self._stopped, settings.max_in_memory
        )
        self.lanes = Lanes(clock, library, self.committer, marker, self.nursery.birth, settings.receipt_seconds, self)
        self.redelivery = Redelivery(store, self.residence, self.lanes, self.blocking, self._unwanted)
        self._replaying = Replaying(
            library, self.residence, self.lanes, store, marker, self.blocking, self.spawn, self._fail
        )
        self.dues = Dues(clock, self._rung)
        self.errands = Errands(self.residence, self.lanes, self.redelivery, clock, self.committer, self.fenced)
        self.lanes.changed_nothing = self.errands.acknowledge
        self.turnstile = Turnstile(
            bare, fence, library, settings, peers, self.errands.result, self._priority, self.blocking, self.fenced
        )
        self.turnstile.inner = activities(self.turnstile.result, library)
        self.activities = self.errands.activities = self.turnstile

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up where the predecessor left off."""
        await until_answered(self.blocking, self.library.refresh, "learning what is deployed")
        slow, blamed = self.marker.timed_out(), self.marker.take()
        if blamed is not None:
            await self._condemned.blame(blamed, slow)
            if self._isolating.wants(blamed) and self._condemned.get(blamed) is None:
                await self._isolating.isolate(blamed)  # before it is loaded, and what it waits for is asked for here
        await self.activities.adopt()
        now = self.clock.now()
        waiting = await until_answered(self.blocking, lambda: self.store.to_revive(self.name, now), "reviving")
        # All are asked for before the first is awaited: they share their reads.
        for load in [self.residence.get(instance_id) for instance_id in (*self._condemned, *waiting)]:
            await asyncio.wait([load])
        self.turnstile.look()
        await self._fetch_dues()

    async def close(self) -> None:
        """Stop: nothing is lost by it, nothing more is answered."""
        self.moved = self._closed = True
        self.lanes.close()
        for task in tuple(self._tasks):
            task.cancel()
        self.redelivery.close()
        self.residence.close()
        self.dues.close()
        self.waiters.moved(self.waiters.waited_for())
        await self.activities.close()
        # Turns under way are told how they ended, and answer; whatever else waits is sent elsewhere.
        await self._loop.run_in_executor(self._threads, self.committer.close)
        self._send_away()
        for live in self.residence.all():
            self.residence.drop(live)
        self._threads.shutdown(wait=False)

    def _send_away(self) -> None:
        for live in self.residence.all():
            for letter in live.letters:
                letter.reply(Reply("moved"))
            live.letters.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing will happen until something comes from outside or time passes."""
        quiet = self.lanes.idle and self.residence.idle and self.activities.idle
        return quiet and not self._busy_tasks and not self.redelivery.pending

    async def blocking(self, call: Callable[[], T]) -> T:
        """Run `call` on a thread that may block."""
        self._busy_tasks += 1
        try:
            return await self._loop.run_in_executor(self._threads, call)
        except Fenced:
            self.fenced()
            raise
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

    # --- bringing an instance to its next turn ----------------------------------------------------

    def summon(self, instance_ids: Iterable[str]) -> None:
        """There is something in the store for these: read it."""
        for instance_id in instance_ids:
            if instance_id == PERMITS:
                self.turnstile.look()
                continue
            live = self.residence.peek(instance_id)
            if live is not None and live.unstarted and is_held(live.row.start_at):
                self._drop(live)  # it may have been let in: the row says so
                live = None
            if live is None:
                self.residence.get(instance_id)
            else:
                live.dirty = True
                self.lanes.enqueue(live)

    def born(self, row: InstanceRow) -> None:
        """An instance of this host was just created."""
        existing = self.residence.peek(row.instance_id)
        if existing is not None and existing.row.execution_id == row.execution_id:
            return  # somebody asked for it before its starter came back from the commit
        if existing is not None:
            self._drop(existing)
        self.errands.late.forget(row.instance_id)
        self._arrived(self.residence.enter(row))
        if is_held(row.start_at):
            self.peers.finished([row.instance_id])  # whoever counts has to look

    def _admitted(self, live: Live) -> None:
        # Before its first turn: what a turn schedules is not durable yet and must not be taken for lost work.
        self.errands.admit(live)
        self._arrived(live)

    def entered(self, live: Live) -> None:
        """An instance that had its first turn in the transaction of its start."""
        self.residence.take(live)

    def at_once(self, row: InstanceRow) -> Live | None:
        """A new instance that can have its first turn in the transaction of its start, or None.

        Not one whose code is still to be loaded or whose time has not come; nor one during whose first turn the
        predecessor of this process died: that one is written first, so that its crashes can be counted.
        """
        ready = self.library.loaded_orchestrator(row.name, row.code_id) is not None
        if (
            not ready
            or row.start_at is not None
            or self.deployments.behind
            or self._condemned.suspects(row.instance_id)
        ):
            return None
        return Live(row, fold(row.instance_id, ()))

    def _stopped(self, live: Live) -> None:
        """What is stored of it is damaged: its row says so, and its neighbours go on."""
        reason = live.waiting_reason
        noted = lambda: self.store.set_waiting_reason(live.instance_id, reason)  # noqa: E731
        self.spawn(until_answered(self.blocking, noted, f"noting that {live.instance_id!r} is stopped"))

    def _priority(self, instance_id: str) -> int:
        live = self.residence.peek(instance_id)
        return live.row.priority if live is not None else 0

    def _arrived(self, live: Live) -> None:
        due = live.row.start_at if live.unstarted else live.snapshot.next_due()
        if due is not None and due > self.clock.now():
            self._arm(live, due)
            if live.unstarted and not live.dirty and not self.may_begin(live):
                return
        self.lanes.enqueue(live)

    def prepare(self, live: Live) -> bool:
        """Whether `live` can take a turn now; if not, see to it."""
        if live.dirty:
            self.residence.read_inbox(live, self._outdated)
            return False
        if self.deployments.behind:
            self.deployments.then(live.instance_id, lambda: self.lanes.enqueue(live))
            return False
        condemned = self._condemned.get(live.instance_id)
        if condemned is not None:
            self._fail(live, condemned)
            return False
        if self._isolating.wants(live.instance_id) and not live.to_be_terminated:
            live.busy = True
            self.spawn(self._isolate(live))
            return False
        if live.unstarted and not self.may_begin(live):
            return False
        if live.damaged and not live.to_be_terminated:
            return False
        # To end an instance takes none of its code, which may be the very thing that is missing.
        if live.execution is None and not live.to_be_terminated:
            if not self._replaying.replay(live):
                return False
            if live.withheld and live.leftover is None:
                self.errands.release(live)
        return True

    def may_begin(self, live: Live) -> bool:
        """Whether an instance that has not begun may do so now: its time has come, or it is to be terminated."""
        start_at = live.row.start_at
        if start_at is None or start_at <= self.clock.now():
            return True
        return live.to_be_terminated

    # --- what a turn sets going -------------------------------------------------------------------

    def committed(self, live: Live, turn: Turn, answer: TurnCommitted) -> None:
        """The turn is durable: act."""
        append = turn.append
        live.carried.difference_update(turn.write.consumed)
        if self._closed:
            return  # the successor finds all this in the store
        self.errands.acknowledge(turn.letters, live.instance_id)
        self.errands.send(live, append, turn.write.execution_id)
        self._wake(turn, answer)
        if turn.successor is not None:
            self._succeed(live, turn.successor, append.successor or [])
        if live.snapshot.finished:
            self._finished(live, turn)
            return
        if live.withheld:
            self.errands.release(live)
        if turn.write.turn == 0:
            self.waiters.started(live.instance_id, live.status)
        due = live.snapshot.next_due()
        if due is not None:
            self._arm(live, due)

    def _wake(self, turn: Turn, answer: TurnCommitted) -> None:
        born = {child.instance_id: child for child in turn.write.children}
        addressed = {message.instance_id for message in turn.write.messages}
        for instance_id, (host, resident) in answer.woken.items():
            if host != self.name:
                self.peers.nudge(host, [instance_id], resident)
                if instance_id in born and is_held(born[instance_id].start_at):
                    self.peers.finished([instance_id])  # whoever counts has to look
            elif instance_id in born:
                self.born(self.nursery.row(born[instance_id]))
                if instance_id in addressed:
                    self.summon([instance_id])
            else:
                self.summon([instance_id])

    def _succeed(self, live: Live, successor: Snapshot, events: list[ev.Event]) -> None:
        """Continue-as-new: the same instance, a new execution on the newest code."""
        if live.execution is not None:
            live.execution.close()
            live.execution = None
        live.snapshot = successor
        live.fresh = True
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

    def _finished(self, live: Live, turn: Turn) -> None:
        snapshot = live.snapshot
        if snapshot.status == "Terminated":
            instance_log.terminated(live.instance_id, snapshot.output)
        failure = encode_event(ev.ExecutionFailed(snapshot.failure)) if snapshot.failure else None
        for letter in live.letters:
            letter.reply(Reply("finished", snapshot.status))
        self.errands.ended(live, turn)
        live.letters.clear()
        self._condemned.discard(live.instance_id)
        self.turnstile.withdraw(live.instance_id)
        self.dues.discard(live.instance_id)
        self.residence.drop(live)
        self.waiters.ended(Ending(live.instance_id, snapshot.status, snapshot.output, failure))
        if is_dedicated(self.name) or limit_of(live.row.name, self.library, self.settings) is not None:
            self.peers.finished([live.instance_id])

    def refused(self, live: Live, letters: list[Letter], error: Exception | None) -> None:
        """A turn was not made: forget what is in memory, and let the letters find the instance as it is now."""
        letters = [letter for letter in [*letters, *live.letters] if letter.row is None]
        live.letters.clear()
        live.busy = False
        self.residence.drop(live)
        self.redelivery.bring(live.instance_id, letters, after=error)

    def _outdated(self, live: Live) -> None:
        self.refused(live, [], None)

    def broken(self, live: Live, letters: list[Letter], error: Exception) -> None:
        """This turn can never be made. What came straight from a client with it is refused; else the instance ends."""
        direct = [letter for letter in letters if letter.answer is not None]
        for letter in direct:
            letter.reply(Reply("refused", str(error)))
        if not direct:
            self._condemned.add(live.instance_id, FailureDetails.of(error))
        self.refused(live, [letter for letter in letters if letter.answer is None], error)

    def _fail(self, live: Live, failure: FailureDetails) -> None:
        # Letters stay behind: in no history, they are answered "finished" once this is durable.
        self.lanes.submit(live, set_aside(live, self.clock.now(), failure, self.library, self.nursery.birth))

    async def _isolate(self, live: Live) -> None:
        await self._isolating.isolate(live.instance_id)
        self._condemned.discard(live.instance_id)
        self.refused(live, [], None)

    def _unwanted(self, letters: Iterable[Letter], instance_id: str) -> None:
        self._condemned.discard(instance_id)
        self.errands.acknowledge(letters, instance_id)

    def fenced(self) -> None:
        """Somebody else owns this host: stop acting at once."""
        self._send_away()
        if not self.moved:
            self.moved = True
            self.waiters.moved(self.waiters.waited_for())
            log.error("host %s was fenced (epoch %d): this process ends", self.name, self.fence.epoch)
            self.peers.fenced(self.name)

    def _drop(self, live: Live) -> None:
        letters = [letter for letter in live.letters if letter.row is None]
        live.letters.clear()
        self.residence.drop(live)
        if letters:
            self.redelivery.bring(live.instance_id, letters)

    # --- time -------------------------------------------------------------------------------------

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
        found = await until_answered(
            self.blocking, lambda: self.store.due(self.name, _FAR, _MANY_DUES), "looking for what is due"
        )
        for instance_id, due in found:
            self.dues.add(due, instance_id)
        if len(found) == _MANY_DUES:
            self.dues.add(found[-1][1], _MORE)
