"""Results of activities on their way into the histories: posted to the instance that waits, recorded late, acknowledged.

Also their other end: which invocations an instance in memory waits for, submitted again when it was loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from durable_ray.actors.activities.dispatcher import Dispatcher
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation
from durable_ray.actors.clock import Clock
from durable_ray.actors.host.late_results import LateResults
from durable_ray.actors.host.message_delivery import MessageDelivery
from durable_ray.actors.host.turn_scheduler import TurnScheduler
from durable_ray.actors.host.turns import Turn
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.instances.instance_cache import InstanceCache
from durable_ray.actors.store.committer import Committer
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.history.rewinding import just_rewound


class ActivityResults:
    """Posts each result of an activity to the instance that waits for it."""

    def __init__(
        self,
        instance_cache: InstanceCache,
        turn_scheduler: TurnScheduler,
        message_delivery: MessageDelivery,
        clock: Clock,
        committer: Committer,
    ) -> None:
        self._instance_cache = instance_cache
        self._turn_scheduler = turn_scheduler
        self._message_delivery = message_delivery
        self.late = LateResults(clock, committer, self.acknowledge, message_delivery.deliver)
        #: Set by the host: the dispatcher that reports to `result`.
        self.dispatcher: Dispatcher

    def loaded(self, active: ActiveInstance) -> None:
        """The instance was loaded: submit its outstanding activities again.

        After a rewind not before its code has been replayed, which decides what it still asks for (`rewinding.py`).
        """
        self.late.forget(active.instance_id)
        active.withheld = just_rewound(self._instance_cache.histories[active.instance_id])
        if not active.withheld:
            self.release(active)

    def release(self, active: ActiveInstance) -> None:
        """Submit its outstanding activities again. What still runs, here or on a worker, is not run twice."""
        active.withheld = False
        under_way = [task_id for task_id in active.snapshot.activities if task_id not in active.snapshot.retries]
        if under_way:
            self.dispatcher.submit([invocation_of(active, task_id) for task_id in under_way])

    def ended(self, active: ActiveInstance, turn: Turn) -> None:
        """The instance has ended by this turn: pending results are recorded as late ones, or acknowledged."""
        self.late.keep(active, turn)
        self.acknowledge(
            [pending for pending in active.pending_messages if not self.late.take(active.instance_id, pending)],
            active.instance_id,
        )

    def result(self, address: Address, event: ActivityResult) -> None:
        """Take an activity's result: post it to its instance, record it as a late one, or acknowledge it if none waits."""
        message_id = f"{address.execution_id}:{address.task_id}:{address.attempt}"
        pending = PendingMessage(Message(message_id, event, address.execution_id))
        if instance_log.log.isEnabledFor(logging.DEBUG):
            instance_log.trace(
                "result received",
                address.instance_id,
                address.execution_id,
                task=address.task_id,
                attempt=address.attempt,
                result=type(event).__name__,
            )
        active = self._instance_cache.peek(address.instance_id)
        if active is None and self.late.take(address.instance_id, pending):
            return
        if active is None:
            self._message_delivery.deliver(address.instance_id, [pending])
        elif active.snapshot.execution_id == address.execution_id and address.task_id in active.snapshot.activities:
            self._turn_scheduler.enqueue(active, pending)
        else:
            self.acknowledge([pending], address.instance_id)

    def acknowledge(self, pending_messages: Iterable[PendingMessage], instance_id: str) -> None:
        """The results among these are durable or obsolete: whatever keeps them may discard them."""
        results = [
            Address(instance_id, pending.message.execution_id or "", event.task_id, event.attempt)
            for pending in pending_messages
            if isinstance(event := pending.message.event, ev.ActivityCompleted | ev.ActivityFailed)
        ]
        if results:
            self.dispatcher.acknowledge(results)


def invocation_of(active: ActiveInstance, task_id: int) -> Invocation:
    """The current attempt of an outstanding activity, with its full address."""
    task = active.snapshot.activities[task_id]
    assert isinstance(task.scheduled, ev.ActivityScheduled)
    address = Address(active.instance_id, active.snapshot.execution_id, task_id, task.attempt)
    return Invocation(address, task.scheduled.name, task.code_id, task.scheduled.input)
