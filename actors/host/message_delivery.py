"""Letters without a taker: their turn was not made, or their instance is not in memory. They find it as it is now.

Nobody who waits for an answer may be left waiting: a letter ends in a mailbox, with a reply, or with "moved" when its
host closes first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from durable_ray.actors.host.turn_scheduler import TurnScheduler
from durable_ray.actors.host.turns import receipt_reply
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.instances.instance_cache import InstanceCache
from durable_ray.actors.messages import Reply, started_anew
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.retrying import until_answered

log = logging.getLogger("durable_ray.host")

#: Seconds before what failed is tried again.
_PAUSE = 0.5


class MessageDelivery:
    """Brings letters to the instances of one host. `unwanted` is told of those that nobody takes any more."""

    def __init__(
        self,
        store: Store,
        instance_cache: InstanceCache,
        turn_scheduler: TurnScheduler,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        unwanted: Callable[[Iterable[PendingMessage], str], None],
    ) -> None:
        self._store = store
        self._instance_cache = instance_cache
        self._turn_scheduler = turn_scheduler
        self._blocking = blocking
        self._unwanted = unwanted
        #: Each task with what it has not delivered yet: one cancelled before its first step runs no `finally`.
        self._tasks: dict[asyncio.Task[None], deque[PendingMessage]] = {}
        self._closed = False

    @property
    def pending(self) -> int:
        """How many deliveries are under way."""
        return len(self._tasks)

    def bring(
        self, instance_id: str, pending_messages: Iterable[PendingMessage], *, after: Exception | None = None
    ) -> None:
        """Bring `letters` to an instance, in order; it is loaded even if there are none.

        `after`: the error that their commit ended with. It may have been made all the same, so what it recorded is
        looked up before a letter is taken a second time.
        """
        left = deque(pending_messages)
        if self._closed:
            _send_away(left)
            return
        task = asyncio.get_running_loop().create_task(self._bring(instance_id, left, after))
        self._tasks[task] = left
        task.add_done_callback(self._tasks.pop)

    def close(self) -> None:
        """Bring nothing more: whoever waits is sent elsewhere."""
        self._closed = True
        for task, left in self._tasks.items():
            task.cancel()
            _send_away(left)

    async def _bring(self, instance_id: str, left: deque[PendingMessage], after: Exception | None) -> None:
        try:
            if after is not None:
                await asyncio.sleep(_PAUSE)
                await self._answer_recorded(left)
            found = await self._instance_cache.find(instance_id)
            while left:
                pending = left.popleft()
                if not isinstance(found, ActiveInstance):
                    self._unwanted([pending], instance_id)
                    pending.reply(_refusal(found))
                elif pending.created_at not in (None, found.row.created_at):
                    pending.reply(started_anew())
                else:
                    self._turn_scheduler.post(found, pending)
        except Exception:
            log.exception("letters for %r could not be delivered again", instance_id)
        finally:
            _send_away(left)

    async def _answer_recorded(self, left: deque[PendingMessage]) -> None:
        """Take out those whose request was carried out after all."""
        requests = [pending.request_id for pending in left if pending.request_id is not None]
        if not requests:
            return
        recorded = await until_answered(self._blocking, lambda: self._store.receipts(requests), "looking for receipts")
        for pending in tuple(left):
            if pending.request_id is not None and (outcome := recorded.get(pending.request_id)) is not None:
                pending.reply(receipt_reply(outcome))
                left.remove(pending)


def _refusal(found: Any) -> Reply:
    if found is None:
        return Reply("absent")
    return Reply("finished", found.status) if found.finished else Reply("moved")


def _send_away(pending_messages: deque[PendingMessage]) -> None:
    for pending in pending_messages:
        pending.reply(Reply("moved"))
    pending_messages.clear()
