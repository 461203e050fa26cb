"""One host: recovery when its process starts, the effects of a committed turn, timers, fencing and shutdown.

Turns are computed in `turn_scheduler`, instances in memory are kept by `instance_cache`, executions rebuilt by `replaying`,
requests served by `service`. This file joins them and applies what a committed turn sets going.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from durable_ray.actors.activities.dispatcher import Dispatcher, MakeExecutor
from durable_ray.actors.activities.limiter import ActivityLimiter
from durable_ray.actors.activities.permits import PERMITS
from durable_ray.actors.activities.ports import Address, Marker, Peers
from durable_ray.actors.clock import Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.code.deployments import Deployments
from durable_ray.actors.host.activity_results import ActivityResults, invocation_of
from durable_ray.actors.host.message_delivery import MessageDelivery
from durable_ray.actors.host.quarantine import Isolating, Quarantine
from durable_ray.actors.host.replaying import Replaying
from durable_ray.actors.host.timer_queue import InstanceTimers
from durable_ray.actors.host.turn_scheduler import TurnScheduler
from durable_ray.actors.host.turns import Turn, failing_turn
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.active_instance import ActiveInstance, InstanceEvent, Obstacle, PendingMessage
from durable_ray.actors.instances.instance_cache import InstanceCache
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.instances.placement import is_dedicated
from durable_ray.actors.instances.waiters import Waiters, ending_of
from durable_ray.actors.messages import Ending, Reply
from durable_ray.actors.registry.instance_limiter import limit_of
from durable_ray.actors.store.background import Background, until_answered
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Fenced, Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.measures import Measured, Measures
from durable_ray.actors.store.records import Fence, InstanceRow
from durable_ray.actors.store.writes import TurnCommitted
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.ids import SCHEDULE_TAG

log = logging.getLogger("durable_ray.host")


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
        executors: Mapping[str, MakeExecutor],
    ) -> None:
        self.name = fence.host
        self.fence = fence
        # What asserts the fence by itself (commits, permits) uses the bare store: it is the hot path.
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
        self.background = Background(f"host {self.name}", 2, self._fenced)
        blocking, spawn = self.background.blocking, self.background.spawn
        self._closed = False
        self._quarantine = Quarantine(store, definition_cache, settings, blocking)
        self._isolating = Isolating(self.name, store, self._quarantine, self.waiters, peers, blocking)
        self.instance_factory = InstanceFactory(definition_cache, settings)
        self.deployments = Deployments(definition_cache, blocking, spawn, lambda: self._replaying.changed())
        self.measures = Measures(clock.now())
        self.committer = Committer(bare, fence, self._loop, self.deployments.advanced, self._fenced, self.measures)
        events = (self._loaded, self._enqueue_when_due, self._record_damage, self._not_here)
        cache = InstanceCache(self.name, store, blocking, *events, settings.max_in_memory)
        new_child, receipts = self.instance_factory.new_child, settings.receipt_seconds
        scheduler = TurnScheduler(clock, definition_cache, self.committer, marker, new_child, receipts, self)
        self.instance_cache, self.turn_scheduler = cache, scheduler
        self.message_delivery = MessageDelivery(store, cache, scheduler, blocking, self._undeliverable)
        self._replaying = Replaying(definition_cache, cache, scheduler, store, marker, blocking, spawn, self._fail)
        self.timers = InstanceTimers(self.name, store, clock, cache, scheduler, blocking, spawn)
        self.activity_results = ActivityResults(cache, scheduler, self.message_delivery, clock, self.committer)
        limiter = ActivityLimiter(bare, fence, definition_cache, settings, peers, cache.priority_of, blocking)
        dispatcher = Dispatcher(
            self.activity_results.result, definition_cache, clock, limiter, executors, self.measures
        )
        self.activity_limiter = limiter
        self.dispatcher = self.activity_results.dispatcher = dispatcher

    # --- start and stop -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Recover: load the instances that were running when the previous process of this host ended."""
        await until_answered(self.background.blocking, self.definition_cache.refresh, "reading definitions")
        slow, crashed = self.marker.timed_out(), self.marker.take()
        if crashed is not None:
            await self._quarantine.note_crash(crashed, slow)
            if self._isolating.applies_to(crashed) and self._quarantine.get(crashed) is None:
                await self._isolating.isolate(crashed)  # before it is loaded and its activities are submitted again
        await self.dispatcher.adopt()
        now = self.clock.now()
        waiting = await until_answered(
            self.background.blocking, lambda: self.store.to_revive(self.name, now), "recovering"
        )
        # All loads are requested before the first is awaited, so that they share their reads.
        for load in [self.instance_cache.get(instance_id) for instance_id in (*self._quarantine, *waiting)]:
            await asyncio.wait([load])
        found = [self.instance_cache.peek(instance_id) for instance_id in waiting]
        self.measures.count("recoveries", by=sum(active is not None and active.turn > 0 for active in found))
        self.activity_limiter.refresh()
        await self.timers.fetch()

    async def close(self) -> None:
        """Stop. Nothing durable is lost; callers are redirected ("moved")."""
        self.moved = self._closed = True
        self.turn_scheduler.close()
        self.background.tasks.cancel()
        self.message_delivery.close()
        self.instance_cache.close()
        self.timers.queue.close()
        self.waiters.moved(self.waiters.waited_for())
        await self.dispatcher.close()
        # Commits under way finish and answer their callers; all others are redirected.
        # Not by `background`, which refuses calls once the fence is lost: a fenced host closes, too.
        await asyncio.get_running_loop().run_in_executor(None, self.committer.close)
        self._reply_moved()
        for active in self.instance_cache.all():
            self.instance_cache.drop(active)
        self.background.close()

    def _reply_moved(self) -> None:
        for active in self.instance_cache.all():
            for pending in active.pending_messages:
                pending.reply(Reply("moved"))
            active.pending_messages.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing will happen until something comes from outside or time passes."""
        quiet = self.turn_scheduler.idle and self.instance_cache.idle and self.dispatcher.idle
        return quiet and self.background.idle and not self.message_delivery.pending

    def measured(self) -> Measured:
        """What this process has counted, and how much there is of what."""
        snapshot = self.measures.snapshot
        snapshot.gauges = {
            ("turns_queued",): self.turn_scheduler.queued,
            ("commits_queued",): self.committer.waiting,
            ("activities_running",): self.dispatcher.running,
            ("instances_in_memory",): len(self.instance_cache),
        }
        return snapshot

    # --- scheduling turns ----------------------------------------------------

    def notify(self, instance_ids: Iterable[str]) -> None:
        """Read what the store has for these: inbox rows, or a row that may be started now."""
        traced = instance_log.log.isEnabledFor(logging.DEBUG)
        self.measures.count("wakes")
        for instance_id in instance_ids:
            if instance_id == PERMITS:
                self.activity_limiter.refresh()
                continue
            active = self.instance_cache.peek(instance_id)
            if traced:
                instance_log.trace("notified", instance_id, turn=active.turn if active is not None else None)
            if active is not None and active.unstarted and active.row.queued:
                self._drop(active)  # the limiter may have dequeued it: read its row again
                active = None
            if active is None:
                self.instance_cache.get(instance_id)
            else:
                active.dirty = True
                self.turn_scheduler.enqueue(active)

    def created(self, row: InstanceRow) -> None:
        """An instance of this host was just created: activate it."""
        existing = self.instance_cache.peek(row.instance_id)
        if existing is not None and existing.row.execution_id == row.execution_id:
            return  # it was loaded before the starter returned from its commit
        if existing is not None:
            self._drop(existing)
        self.activity_results.late.forget(row.instance_id)
        self._enqueue_when_due(self.instance_cache.create(row))
        if row.queued:
            self.peers.finished([row.instance_id])  # the registry's instance limiter has to count again

    def _loaded(self, active: ActiveInstance) -> None:
        # Before its first turn: what that turn schedules is not durable yet and must not be submitted as lost work.
        self.activity_results.loaded(active)
        self._enqueue_when_due(active)

    def started(self, active: ActiveInstance) -> None:
        """An instance was started together with its first turn."""
        self.instance_cache.add(active)

    def startable_with_first_turn(self, row: InstanceRow) -> ActiveInstance | None:
        """A new instance that can have its first turn in the transaction of its start, or None.

        Not if its code is not loaded, its `start_at` has not come or it is queued; nor if the previous process of this
        host died during its first turn: that one is written first, so that its crashes can be counted.
        """
        ready = self.definition_cache.loaded_orchestrator(row.name, row.code_id) is not None
        if (
            not ready
            or row.start_at is not None
            or row.queued
            or self.deployments.behind
            or self._quarantine.suspects(row.instance_id)
        ):
            return None
        return ActiveInstance(row, fold(row.instance_id, ()))

    def _record_damage(self, active: ActiveInstance) -> None:
        """What is stored of it is damaged: record why in its row; other instances go on."""
        note = partial(self.store.set_waiting_reason, active.instance_id, active.waiting_reason)
        what = f"noting that {active.instance_id!r} is damaged"
        self.background.spawn(until_answered(self.background.blocking, note, what))

    def _enqueue_when_due(self, active: ActiveInstance) -> None:
        due, now = active.next_due(), self.clock.now()
        if due is not None and due > now:
            self.timers.arm(active, due)
        if not active.dirty and not active.may_begin(now):
            return
        self.turn_scheduler.enqueue(active)

    def prepare(self, active: ActiveInstance) -> bool:
        """Whether the instance can take a turn now; if not, start what it waits for."""
        if active.dirty:
            self.instance_cache.read_inbox(active, self._replaced)
            return False
        if self.deployments.behind:
            self.deployments.then(active.instance_id, lambda: self.turn_scheduler.enqueue(active))
            return False
        quarantine = self._quarantine.get(active.instance_id)
        if quarantine is not None:
            self._fail(active, quarantine)
            return False
        if self._isolating.applies_to(active.instance_id) and not active.to_be_terminated:
            active.on(InstanceEvent.MOVED)
            self.background.spawn(self._isolate(active))
            return False
        if not active.may_begin(self.clock.now()):
            return False
        if active.obstacle is Obstacle.DAMAGE and not active.to_be_terminated:
            return False
        # A termination needs no code, which may be what is missing.
        if active.execution is None and not active.to_be_terminated:
            if not self._replaying.replay(active):
                return False
            if active.withheld and active.leftover is None:
                self.activity_results.release(active)
        return True

    # --- effects of a committed turn -------------------------------------------------------------------

    def committed(self, active: ActiveInstance, turn: Turn, answer: TurnCommitted) -> None:
        """The turn is durable: apply its effects."""
        append = turn.append
        active.taken_rows.difference_update(turn.write.consumed)
        if self._closed:
            return  # the next process of this host finds all this in the store
        self.activity_results.acknowledge(turn.pending_messages, active.instance_id)
        if append.dispatch and not active.snapshot.finished:
            self.dispatcher.submit([invocation_of(active, task_id) for task_id in append.dispatch])
        if append.cancel:
            execution = (active.instance_id, turn.write.execution_id)
            self.dispatcher.cancel([Address(*execution, *task) for task in append.cancel.items()])
        self._notify_addressees(turn, answer)
        if turn.successor is not None:
            self._continue_as_new(active, turn.successor, append.successor or [])
        if active.snapshot.finished:
            self._finished(active, turn)
            return
        if active.withheld:
            self.activity_results.release(active)
        if turn.write.turn == 0:
            self.waiters.started(active.instance_id)
        due = active.snapshot.next_due()
        if due is not None:
            self.timers.arm(active, due)

    def _notify_addressees(self, turn: Turn, answer: TurnCommitted) -> None:
        children = {child.instance_id: child for child in turn.write.children}
        addressed = {message.instance_id for message in turn.write.messages}
        for instance_id, (host, resident) in answer.receivers.items():
            if host != self.name:
                self.peers.notify(host, [instance_id], resident)
                if instance_id in children and children[instance_id].queued:
                    self.peers.finished([instance_id])  # the registry's instance limiter has to count again
            elif instance_id in children:
                self.created(self.instance_factory.row(children[instance_id]))
                if instance_id in addressed:
                    self.notify([instance_id])
            else:
                self.notify([instance_id])

    def _continue_as_new(self, active: ActiveInstance, successor: Snapshot, events: list[ev.Event]) -> None:
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
        instance_log.finished(snapshot)
        failure = encode_event(ev.ExecutionFailed(snapshot.failure)) if snapshot.failure else None
        for pending in active.pending_messages:
            pending.reply(Reply("finished", snapshot.status))
        self.activity_results.ended(active, turn)
        active.pending_messages.clear()
        self.instance_cache.drop(active)
        self._ended(active.row, Ending(active.instance_id, snapshot.status, snapshot.output, failure))

    def _ended(self, row: InstanceRow, ending: Ending) -> None:
        instance_id = row.instance_id
        self._quarantine.discard(instance_id)
        self.activity_limiter.withdraw(instance_id)
        self.timers.queue.discard(instance_id)
        self.waiters.ended(ending)
        limited = limit_of(row.name, self.definition_cache, self.settings) is not None
        if is_dedicated(self.name) or limited or SCHEDULE_TAG in row.tags:
            self.peers.finished([instance_id])

    def _not_here(self, row: InstanceRow) -> None:
        # It ended by a commit whose outcome this host did not learn, or another host's: who waits here learns it now.
        if row.finished:
            self._ended(row, ending_of(row))
        else:
            self.waiters.moved([row.instance_id])

    def refused(self, active: ActiveInstance, pending_messages: list[PendingMessage], error: Exception | None) -> None:
        """A turn was not committed: drop what is in memory, and deliver its messages to the instance as it is stored now."""
        pending_messages = [pending for pending in [*pending_messages, *active.pending_messages] if pending.row is None]
        active.pending_messages.clear()
        self.instance_cache.drop(active)
        self.message_delivery.deliver(active.instance_id, pending_messages, after=error)

    def _replaced(self, active: ActiveInstance) -> None:
        self.refused(active, [], None)

    def unchanged(self, active: ActiveInstance, pending_messages: Sequence[PendingMessage]) -> None:
        """These changed nothing: results among them are obsolete."""
        self.activity_results.acknowledge(pending_messages, active.instance_id)

    def broken(self, active: ActiveInstance, pending_messages: list[PendingMessage], error: Exception) -> None:
        """This turn can never be committed: refuse the clients' messages in it; if it has none, fail the instance."""
        direct = [pending for pending in pending_messages if pending.answer is not None]
        for pending in direct:
            pending.reply(Reply("refused", str(error)))
        if not direct:
            self._quarantine.add(active.instance_id, FailureDetails.of(error))
        self.refused(active, [pending for pending in pending_messages if pending.answer is None], error)

    def _fail(self, active: ActiveInstance, failure: FailureDetails) -> None:
        # Its pending messages enter no history; they are answered "finished" once this turn is durable.
        self.turn_scheduler.submit(
            active,
            failing_turn(active, self.clock.now(), failure, self.definition_cache, self.instance_factory.new_child),
        )

    async def _isolate(self, active: ActiveInstance) -> None:
        await self._isolating.isolate(active.instance_id)
        self._quarantine.discard(active.instance_id)
        self.refused(active, [], None)

    def _undeliverable(self, pending_messages: Iterable[PendingMessage], instance_id: str) -> None:
        self._quarantine.discard(instance_id)
        self.activity_results.acknowledge(pending_messages, instance_id)

    def _fenced(self, error: Fenced) -> None:
        """Another process owns this host: stop acting at once."""
        self.background.refusal = error
        self._reply_moved()
        if not self.moved:
            self.moved = True
            self.waiters.moved(self.waiters.waited_for())
            instance_log.fenced(self.name, self.fence.epoch)
            if instance_log.log.isEnabledFor(logging.DEBUG):
                for active in self.instance_cache.all():
                    instance_log.trace("fenced", active.instance_id, active.snapshot.execution_id, active.turn)
            self.peers.fenced(self.name)

    def _drop(self, active: ActiveInstance) -> None:
        pending_messages = [pending for pending in active.pending_messages if pending.row is None]
        active.pending_messages.clear()
        self.instance_cache.drop(active)
        if pending_messages:
            self.message_delivery.deliver(active.instance_id, pending_messages)
