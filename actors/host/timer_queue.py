"""The timer queue: one heap of due times and one alarm for all instances of a host."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from durable_ray.actors.clock import Alarm, Clock
from durable_ray.actors.host.turn_scheduler import TurnScheduler
from durable_ray.actors.instances.active_instance import ActiveInstance
from durable_ray.actors.instances.instance_cache import InstanceCache
from durable_ray.actors.store.background import Blocking, Spawn, until_answered
from durable_ray.actors.store.contract import Store

#: So many outdated entries are not worth removing.
_FEW = 64


class TimerQueue:
    """Calls `on_due(instance_ids)` for all instances that are due. The callee checks: an entry may be outdated.

    One entry for each instance counts, its earliest, so the heap is about as long as there are instances that wait, however
    often each was re-armed.
    """

    def __init__(self, clock: Clock, on_due: Callable[[list[str]], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._heap: list[tuple[int, str]] = []
        #: The entry that counts, by instance; all others are outdated.
        self._earliest: dict[str, int] = {}
        self._alarm: Alarm | None = None
        self._alarm_at = 0

    @property
    def next(self) -> int | None:
        """The earliest due time (µs)."""
        return self._heap[0][0] if self._heap else None

    def add(self, at: int, instance_id: str) -> None:
        """`instance_id` is due at `at` (µs)."""
        if self._earliest.get(instance_id, at + 1) <= at:
            return
        self._earliest[instance_id] = at
        heapq.heappush(self._heap, (at, instance_id))
        self._sweep()
        self._arm()

    def discard(self, instance_id: str) -> None:
        """`instance_id` has ended: time does not concern it any more."""
        if self._earliest.pop(instance_id, None) is not None:
            self._sweep()

    def close(self) -> None:
        """Cancel the alarm and forget all entries."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._heap.clear()
        self._earliest.clear()

    def _sweep(self) -> None:
        """Remove the outdated entries once they are more than the others."""
        if len(self._heap) > 2 * len(self._earliest) + _FEW:
            self._heap = [(at, instance_id) for instance_id, at in self._earliest.items()]
            heapq.heapify(self._heap)

    def _arm(self) -> None:
        if not self._heap:
            return
        at = self._heap[0][0]
        if self._alarm is not None:
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._clock.call_at(at, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        now = self._clock.now()
        due: dict[str, None] = {}
        while self._heap and self._heap[0][0] <= now:
            at, instance_id = heapq.heappop(self._heap)
            if self._earliest.get(instance_id) == at:
                del self._earliest[instance_id]
                due[instance_id] = None
        if due:
            self._on_due(list(due))
        self._arm()


#: Due times of instances that are not in memory are kept for this many, the soonest.
_MOST_DUE_TIMES = 10_000
_FAR = 2**62
#: The entry of the timer queue at which the next due times have to be fetched; no instance has an empty ID.
_MORE = ""


class InstanceTimers:
    """One timer queue for all instances of a host."""

    def __init__(
        self,
        host: str,
        store: Store,
        clock: Clock,
        instance_cache: InstanceCache,
        turn_scheduler: TurnScheduler,
        blocking: Blocking,
        spawn: Spawn,
    ) -> None:
        self._host = host
        self._store = store
        self._clock = clock
        self._instance_cache = instance_cache
        self._turn_scheduler = turn_scheduler
        self._blocking = blocking
        self._spawn = spawn
        self.queue = TimerQueue(clock, self._on_due)

    def arm(self, active: ActiveInstance, due: int) -> None:
        """Enqueue the instance at `due` (µs), unless it is enqueued earlier anyway."""
        if active.armed is None or due < active.armed:
            active.armed = due
            self.queue.add(due, active.instance_id)

    async def fetch(self) -> None:
        """Read due times of instances that are not in memory: the soonest now, more when the last of these has come."""
        found = await until_answered(
            self._blocking, lambda: self._store.due(self._host, _FAR, _MOST_DUE_TIMES), "reading due times"
        )
        for instance_id, due in found:
            self.queue.add(due, instance_id)
        if len(found) == _MOST_DUE_TIMES:
            self.queue.add(found[-1][1], _MORE)

    def _on_due(self, instance_ids: list[str]) -> None:
        for instance_id in instance_ids:
            if instance_id == _MORE:
                self._spawn(self.fetch())
                continue
            active = self._instance_cache.peek(instance_id)
            if active is None:
                self._instance_cache.get(instance_id)
                continue
            active.armed = None
            due = active.next_due()
            if due is not None and due > self._clock.now():
                self.arm(active, due)
            else:
                self._turn_scheduler.enqueue(active)
