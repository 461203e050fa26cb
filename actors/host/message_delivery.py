"""Message delivery: redelivers messages whose turn was refused, and loads the instance if it is not in memory.

Every caller gets an answer: a message ends among an instance's pending messages, with a reply, or with "moved" when its host
closes first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from durable_ray.actors.host.turn_scheduler import TurnScheduler
from durable_ray.actors.host.turns import receipt_reply
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.instances.instance_cache import InstanceCache
from durable_ray.actors.messages import Reply, started_anew
from durable_ray.actors.store.background import Blocking, until_answered
from durable_ray.actors.store.contract import Store

log = logging.getLogger("durable_ray.host")

#: Seconds before a redelivery after a failed commit.
_PAUSE = 0.5


class MessageDelivery:
    """Delivers messages to the instances of one host. `undeliverable` gets those whose instance has ended or moved."""

    def __init__(
        self,
        store: Store,
        instance_cache: InstanceCache,
        turn_scheduler: TurnScheduler,
        blocking: Blocking,
        undeliverable: Callable[[Iterable[PendingMessage], str], None],
    ) -> None:
        self._store = store
        self._instance_cache = instance_cache
        self._turn_scheduler = turn_scheduler
        self._blocking = blocking
        self._undeliverable = undeliverable
        #: Each task with what it has not delivered yet: a task that is cancelled before its first step runs no `finally`.
        self._tasks: dict[asyncio.Task[None], deque[PendingMessage]] = {}
        self._closed = False

    @property
    def pending(self) -> int:
        """How many deliveries are in progress."""
        return len(self._tasks)

    def deliver(
        self, instance_id: str, pending_messages: Iterable[PendingMessage], *, after: Exception | None = None
    ) -> None:
        """Deliver messages to an instance, in order; it is loaded even if there are none.

        `after`: the error of their commit. It may have succeeded all the same, so receipts are read before a message is
        posted a second time.
        """
        remaining = deque(pending_messages)
        if self._closed:
            _reply_moved(remaining)
            return
        task = asyncio.get_running_loop().create_task(self._deliver(instance_id, remaining, after))
        self._tasks[task] = remaining
        task.add_done_callback(self._tasks.pop)

    def close(self) -> None:
        """Stop delivering; callers are redirected ("moved")."""
        self._closed = True
        for task, remaining in self._tasks.items():
            task.cancel()
            _reply_moved(remaining)

    async def _deliver(self, instance_id: str, remaining: deque[PendingMessage], after: Exception | None) -> None:
        try:
            if after is not None:
                await asyncio.sleep(_PAUSE)
                await self._answer_recorded(remaining)
            found = await self._instance_cache.find(instance_id)
            while remaining:
                pending = remaining.popleft()
                if not isinstance(found, ActiveInstance):
                    self._undeliverable([pending], instance_id)
                    pending.reply(_refusal(found))
                elif pending.created_at not in (None, found.row.created_at):
                    pending.reply(started_anew())
                else:
                    self._turn_scheduler.enqueue(found, pending)
        except Exception:
            log.exception("messages for instance %r could not be redelivered", instance_id)
        finally:
            _reply_moved(remaining)

    async def _answer_recorded(self, remaining: deque[PendingMessage]) -> None:
        """Answer and remove those whose request was committed after all."""
        requests = [pending.request_id for pending in remaining if pending.request_id is not None]
        if not requests:
            return
        recorded = await until_answered(self._blocking, lambda: self._store.receipts(requests), "reading receipts")
        for pending in tuple(remaining):
            if pending.request_id is not None and (outcome := recorded.get(pending.request_id)) is not None:
                pending.reply(receipt_reply(outcome))
                remaining.remove(pending)


def _refusal(found: Any) -> Reply:
    if found is None:
        return Reply("absent")
    return Reply("finished", found.status) if found.finished else Reply("moved")


def _reply_moved(pending_messages: deque[PendingMessage]) -> None:
    for pending in pending_messages:
        pending.reply(Reply("moved"))
    pending_messages.clear()
