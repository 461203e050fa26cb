"""One host: what it does when a turn is durable, when it comes back from the dead, and when it is asked to leave.

The turns themselves are in `turn_scheduler`, who is in memory in `instance_cache`, how an instance gets its code back in
`replaying`, what callers may ask in `service`. This file joins them and holds the effects: what a committed turn sets going.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from msgspec.structs import replace

from durable_ray.actors.activities.limiter import ActivityLimiter
from durable_ray.actors.activities.permits import PERMITS
from durable_ray.actors.activities.ports import Activities, Marker, OnResult, Peers
from durable_ray.actors.clock import Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.code.deployments import Deployments
from durable_ray.actors.host.effects import TurnEffects
from durable_ray.actors.host.isolation import Isolating
from durable_ray.actors.host.message_delivery import MessageDelivery
from durable_ray.actors.host.quarantine import Quarantine
from durable_ray.actors.host.replaying import Replaying
from durable_ray.actors.host.timer_queue import TimerQueue
from durable_ray.actors.host.turn_scheduler import TurnScheduler
from durable_ray.actors.host.turns import Turn, set_aside
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.instances.instance_cache import InstanceCache
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.instances.placement import is_dedicated
from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.messages import Ending, Reply
from durable_ray.actors.registry.instance_limiter import limit_of
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Fenced, Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.records import Fence, InstanceRow, is_queued
from durable_ray.actors.store.retrying import until_answered
from durable_ray.actors.store.writes import TurnCommitted
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.values.failures import FailureDetails

log = logging.getLogger("durable_ray.host")
T = TypeVar("T")

#: Due times of instances that are not in memory are kept for this many, the soonest.
_MOST_DUE_TIMES = 10_000
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
        definition_cache: DefinitionCache,
        settings: HubConfig,
        peers: Peers,
        marker: Marker,
        activities: Callable[[OnResult, DefinitionCache], Activities],
    ) -> None:
        self.name = fence.host
        self.fence = fence
        # What asserts the fence by itself (commits, permits) is given the bare store: it is the hot path.
        bare, store = store, store.fenced(fence)
        self.store = store
        self.clock = clock
        self.definition_cache = definition_cache
        self.settings = settings
        self.peers = peers
        self.waiters = Waiters()
        self.moved = False
        self.marker = marker
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="reader")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._quarantine = Quarantine(store, definition_cache, settings, self.blocking)
        self._isolating = Isolating(self.name, store, self._quarantine, self.waiters, peers, self.blocking)
        self.instance_factory = InstanceFactory(definition_cache, settings)
        self.deployments = Deployments(definition_cache, self.blocking, self.spawn, lambda: self._replaying.learned())
        self.committer = Committer(bare, fence, self._loop, self.deployments.advanced)
        self.instance_cache = InstanceCache(
            self.name, store, self.blocking, self._admitted, self._arrived, self._stopped, settings.max_in_memory
        )
        self.turn_scheduler = TurnScheduler(
            clock,
            definition_cache,
            self.committer,
            marker,
            self.instance_factory.new_child,
            settings.receipt_seconds,
            self,
        )
        self.message_delivery = MessageDelivery(
            store, self.instance_cache, self.turn_scheduler, self.blocking, self._unwanted
        )
        self._replaying = Replaying(
            definition_cache,
            self.instance_cache,
            self.turn_scheduler,
            store,
            marker,
            self.blocking,
            self.spawn,
            self._fail,
        )
        self.timer_queue = TimerQueue(clock, self._rung)
        self.turn_effects = TurnEffects(
            self.instance_cache, self.turn_scheduler, self.message_delivery, clock, self.committer, self.fenced
        )
        self.turn_scheduler.changed_nothing = self.turn_effects.acknowledge
        self.activity_limiter = ActivityLimiter(
            bare,
            fence,
            definition_cache,
            settings,
            peers,
            self.turn_effects.result,
            self._priority,
            self.blocking,
            self.fenced,
        )
        self.activity_limiter.inner = activities(self.activity_limiter.result, definition_cache)
        self.activities = self.turn_effects.activities = self.activity_limiter

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up where the predecessor left off."""
        await until_answered(self.blocking, self.definition_cache.refresh, "learning what is deployed")
        slow, blamed = self.marker.timed_out(), self.marker.take()
        if blamed is not None:
            await self._quarantine.blame(blamed, slow)
            if self._isolating.wants(blamed) and self._quarantine.get(blamed) is None:
                await self._isolating.isolate(blamed)  # before it is loaded, and what it waits for is asked for here
        await self.activities.adopt()
        now = self.clock.now()
        waiting = await until_answered(self.blocking, lambda: self.store.to_revive(self.name, now), "reviving")
        # All are asked for before the first is awaited: they share their reads.
        for load in [self.instance_cache.get(instance_id) for instance_id in (*self._quarantine, *waiting)]:
            await asyncio.wait([load])
        self.activity_limiter.refresh()
        await self._fetch_due_times()

    async def close(self) -> None:
        """Stop: nothing is lost by it, nothing more is answered."""
        self.moved = self._closed = True
        self.turn_scheduler.close()
        for task in tuple(self._tasks):
            task.cancel()
        self.message_delivery.close()
        self.instance_cache.close()
        self.timer_queue.close()
        self.waiters.moved(self.waiters.waited_for())
        await self.activities.close()
        # Turns under way are told how they ended, and answer; whatever else waits is sent elsewhere.
        await self._loop.run_in_executor(self._threads, self.committer.close)
        self._send_away()
        for active in self.instance_cache.all():
            self.instance_cache.drop(active)
        self._threads.shutdown(wait=False)

    def _send_away(self) -> None:
        for active in self.instance_cache.all():
            for pending in active.pending_messages:
                pending.reply(Reply("moved"))
            active.pending_messages.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing will happen until something comes from outside or time passes."""
        quiet = self.turn_scheduler.idle and self.instance_cache.idle and self.activities.idle
        return quiet and not self._busy_tasks and not self.message_delivery.pending

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

    def notify(self, instance_ids: Iterable[str]) -> None:
        """There is something in the store for these: read it."""
        for instance_id in instance_ids:
            if instance_id == PERMITS:
                self.activity_limiter.refresh()
                continue
            active = self.instance_cache.peek(instance_id)
            if active is not None and active.unstarted and is_queued(active.row.start_at):
                self._drop(active)  # it may have been let in: the row says so
                active = None
            if active is None:
                self.instance_cache.get(instance_id)
            else:
                active.dirty = True
                self.turn_scheduler.enqueue(active)

    def born(self, row: InstanceRow) -> None:
        """An instance of this host was just created."""
        existing = self.instance_cache.peek(row.instance_id)
        if existing is not None and existing.row.execution_id == row.execution_id:
            return  # somebody asked for it before its starter came back from the commit
        if existing is not None:
            self._drop(existing)
        self.turn_effects.late.forget(row.instance_id)
        self._arrived(self.instance_cache.enter(row))
        if is_queued(row.start_at):
            self.peers.finished([row.instance_id])  # whoever counts has to look

    def _admitted(self, active: ActiveInstance) -> None:
        # Before its first turn: what a turn schedules is not durable yet and must not be taken for lost work.
        self.turn_effects.admit(active)
        self._arrived(active)

    def entered(self, active: ActiveInstance) -> None:
        """An instance that had its first turn in the transaction of its start."""
        self.instance_cache.take(active)

    def at_once(self, row: InstanceRow) -> ActiveInstance | None:
        """A new instance that can have its first turn in the transaction of its start, or None.

        Not one whose code is still to be loaded or whose time has not come; nor one during whose first turn the
        predecessor of this process died: that one is written first, so that its crashes can be counted.
        """
        ready = self.definition_cache.loaded_orchestrator(row.name, row.code_id) is not None
        if (
            not ready
            or row.start_at is not None
            or self.deployments.behind
            or self._quarantine.suspects(row.instance_id)
        ):
            return None
        return ActiveInstance(row, fold(row.instance_id, ()))

    def _stopped(self, active: ActiveInstance) -> None:
        """What is stored of it is damaged: its row says so, and its neighbours go on."""
        reason = active.waiting_reason
        noted = lambda: self.store.set_waiting_reason(active.instance_id, reason)  # noqa: E731
        self.spawn(until_answered(self.blocking, noted, f"noting that {active.instance_id!r} is stopped"))

    def _priority(self, instance_id: str) -> int:
        active = self.instance_cache.peek(instance_id)
        return active.row.priority if active is not None else 0

    def _arrived(self, active: ActiveInstance) -> None:
        due = active.row.start_at if active.unstarted else active.snapshot.next_due()
        if due is not None and due > self.clock.now():
            self._arm(active, due)
            if active.unstarted and not active.dirty and not self.may_begin(active):
                return
        self.turn_scheduler.enqueue(active)

    def prepare(self, active: ActiveInstance) -> bool:
        """Whether `live` can take a turn now; if not, see to it."""
        if active.dirty:
            self.instance_cache.read_inbox(active, self._outdated)
            return False
        if self.deployments.behind:
            self.deployments.then(active.instance_id, lambda: self.turn_scheduler.enqueue(active))
            return False
        quarantine = self._quarantine.get(active.instance_id)
        if quarantine is not None:
            self._fail(active, quarantine)
            return False
        if self._isolating.wants(active.instance_id) and not active.to_be_terminated:
            active.busy = True
            self.spawn(self._isolate(active))
            return False
        if active.unstarted and not self.may_begin(active):
            return False
        if active.damaged and not active.to_be_terminated:
            return False
        # To end an instance takes none of its code, which may be the very thing that is missing.
        if active.execution is None and not active.to_be_terminated:
            if not self._replaying.replay(active):
                return False
            if active.withheld and active.leftover is None:
                self.turn_effects.release(active)
        return True

    def may_begin(self, active: ActiveInstance) -> bool:
        """Whether an instance that has not begun may do so now: its time has come, or it is to be terminated."""
        start_at = active.row.start_at
        if start_at is None or start_at <= self.clock.now():
            return True
        return active.to_be_terminated

    # --- what a turn sets going -------------------------------------------------------------------

    def committed(self, active: ActiveInstance, turn: Turn, answer: TurnCommitted) -> None:
        """The turn is durable: act."""
        append = turn.append
        active.carried.difference_update(turn.write.consumed)
        if self._closed:
            return  # the successor finds all this in the store
        self.turn_effects.acknowledge(turn.pending_messages, active.instance_id)
        self.turn_effects.send(active, append, turn.write.execution_id)
        self._wake(turn, answer)
        if turn.successor is not None:
            self._succeed(active, turn.successor, append.successor or [])
        if active.snapshot.finished:
            self._finished(active, turn)
            return
        if active.withheld:
            self.turn_effects.release(active)
        if turn.write.turn == 0:
            self.waiters.started(active.instance_id, active.status)
        due = active.snapshot.next_due()
        if due is not None:
            self._arm(active, due)

    def _wake(self, turn: Turn, answer: TurnCommitted) -> None:
        born = {child.instance_id: child for child in turn.write.children}
        addressed = {message.instance_id for message in turn.write.messages}
        for instance_id, (host, resident) in answer.woken.items():
            if host != self.name:
                self.peers.notify(host, [instance_id], resident)
                if instance_id in born and is_queued(born[instance_id].start_at):
                    self.peers.finished([instance_id])  # whoever counts has to look
            elif instance_id in born:
                self.born(self.instance_factory.row(born[instance_id]))
                if instance_id in addressed:
                    self.notify([instance_id])
            else:
                self.notify([instance_id])

    def _succeed(self, active: ActiveInstance, successor: Snapshot, events: list[ev.Event]) -> None:
        """Continue-as-new: the same instance, a new execution on the newest code."""
        if active.execution is not None:
            active.execution.close()
            active.execution = None
        active.snapshot = successor
        active.fresh = True
        active.row = replace(
            active.row,
            execution_id=successor.execution_id,
            input=successor.input,
            version=successor.version,
            code_id=successor.code_id,
            generation=successor.generation,
        )
        active.armed = None
        self.instance_cache.histories[active.instance_id] = events
        self.turn_scheduler.enqueue(active)

    def _finished(self, active: ActiveInstance, turn: Turn) -> None:
        snapshot = active.snapshot
        if snapshot.status == "Terminated":
            instance_log.terminated(active.instance_id, snapshot.output)
        failure = encode_event(ev.ExecutionFailed(snapshot.failure)) if snapshot.failure else None
        for pending in active.pending_messages:
            pending.reply(Reply("finished", snapshot.status))
        self.turn_effects.ended(active, turn)
        active.pending_messages.clear()
        self._quarantine.discard(active.instance_id)
        self.activity_limiter.withdraw(active.instance_id)
        self.timer_queue.discard(active.instance_id)
        self.instance_cache.drop(active)
        self.waiters.ended(Ending(active.instance_id, snapshot.status, snapshot.output, failure))
        if is_dedicated(self.name) or limit_of(active.row.name, self.definition_cache, self.settings) is not None:
            self.peers.finished([active.instance_id])

    def refused(self, active: ActiveInstance, pending_messages: list[PendingMessage], error: Exception | None) -> None:
        """A turn was not made: forget what is in memory, and let the letters find the instance as it is now."""
        pending_messages = [pending for pending in [*pending_messages, *active.pending_messages] if pending.row is None]
        active.pending_messages.clear()
        active.busy = False
        self.instance_cache.drop(active)
        self.message_delivery.bring(active.instance_id, pending_messages, after=error)

    def _outdated(self, active: ActiveInstance) -> None:
        self.refused(active, [], None)

    def broken(self, active: ActiveInstance, pending_messages: list[PendingMessage], error: Exception) -> None:
        """This turn can never be made. What came straight from a client with it is refused; else the instance ends."""
        direct = [pending for pending in pending_messages if pending.answer is not None]
        for pending in direct:
            pending.reply(Reply("refused", str(error)))
        if not direct:
            self._quarantine.add(active.instance_id, FailureDetails.of(error))
        self.refused(active, [pending for pending in pending_messages if pending.answer is None], error)

    def _fail(self, active: ActiveInstance, failure: FailureDetails) -> None:
        # Letters stay behind: in no history, they are answered "finished" once this is durable.
        self.turn_scheduler.submit(
            active, set_aside(active, self.clock.now(), failure, self.definition_cache, self.instance_factory.new_child)
        )

    async def _isolate(self, active: ActiveInstance) -> None:
        await self._isolating.isolate(active.instance_id)
        self._quarantine.discard(active.instance_id)
        self.refused(active, [], None)

    def _unwanted(self, pending_messages: Iterable[PendingMessage], instance_id: str) -> None:
        self._quarantine.discard(instance_id)
        self.turn_effects.acknowledge(pending_messages, instance_id)

    def fenced(self) -> None:
        """Somebody else owns this host: stop acting at once."""
        self._send_away()
        if not self.moved:
            self.moved = True
            self.waiters.moved(self.waiters.waited_for())
            log.error("host %s was fenced (epoch %d): this process ends", self.name, self.fence.epoch)
            self.peers.fenced(self.name)

    def _drop(self, active: ActiveInstance) -> None:
        pending_messages = [pending for pending in active.pending_messages if pending.row is None]
        active.pending_messages.clear()
        self.instance_cache.drop(active)
        if pending_messages:
            self.message_delivery.bring(active.instance_id, pending_messages)

    # --- time -------------------------------------------------------------------------------------

    def _arm(self, active: ActiveInstance, due: int) -> None:
        if active.armed is None or due < active.armed:
            active.armed = due
            self.timer_queue.add(due, active.instance_id)

    def _rung(self, instance_ids: list[str]) -> None:
        for instance_id in instance_ids:
            if instance_id == _MORE:
                self.spawn(self._fetch_due_times())
                continue
            active = self.instance_cache.peek(instance_id)
            if active is None:
                self.instance_cache.get(instance_id)
                continue
            active.armed = None
            due = active.row.start_at if active.unstarted else active.snapshot.next_due()
            if due is not None and due > self.clock.now():
                self._arm(active, due)
            else:
                self.turn_scheduler.enqueue(active)

    async def _fetch_due_times(self) -> None:
        """Due times of instances that are not in memory: the soonest now, more when the last of these has come."""
        found = await until_answered(
            self.blocking, lambda: self.store.due(self.name, _FAR, _MOST_DUE_TIMES), "looking for what is due"
        )
        for instance_id, due in found:
            self.timer_queue.add(due, instance_id)
        if len(found) == _MOST_DUE_TIMES:
            self.timer_queue.add(found[-1][1], _MORE)
