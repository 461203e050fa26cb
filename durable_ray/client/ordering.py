"""Ordered delivery: what one client sends to one instance arrives in the order in which it was sent.

Operations that are awaited together are under way at the same time, and there are several ways to an instance (straight to its
process, through the registry into the store, once more after an error), of which none waits for another. So of what goes to one
instance only one call is under way. Those that are asked for meanwhile, or in the same step of the event loop, share the next;
they are carried as one, until each of them has its answer. Different instances do not wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from durable_ray.client.steps import InOrder, Steps

#: Messages in one call at most: what follows waits for its answer.
_MOST = 1000

_Waiting = tuple[InOrder, "asyncio.Future[Any]"]
#: What waits for what is under way, by instance; None: nothing does.
_Queues = dict[str, deque[_Waiting] | None]


class _NextStep:
    """Awaited: one step of the event loop. As `asyncio.sleep(0)`, without its coroutine."""

    def __await__(self) -> Generator[None, None, None]:
        yield


_NEXT_STEP = _NextStep()


class Ordering:
    """Carries what was asked for in order on one event loop. `run` drives the steps that carry it."""

    def __init__(self, run: Callable[[Steps[Any]], Awaitable[Any]]) -> None:
        self._run = run
        self._queues: _Queues = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, wanted: InOrder) -> Any:
        """The answer to one item; it is sent when those before it have theirs."""
        queues = self._queues
        key = wanted.key
        if key in queues:
            return await _queued(queues, wanted)
        queues[key] = None
        try:
            await _NEXT_STEP  # calls made in this step are included
            if queues[key] is None or wanted.alone:
                # Most are alone: no task is needed, and a cancelled caller cancels only its own call.
                return (await self._run(wanted.carry([wanted.item])))[0]
            answer = _queued(queues, wanted, first=True)
        finally:
            queue = queues[key]
            if queue is None:
                del queues[key]
            else:
                task = asyncio.create_task(self._carry(queues, queue))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return await answer

    async def _carry(self, queues: _Queues, queue: deque[_Waiting]) -> None:
        key = queue[0][0].key
        group: list[_Waiting] = []
        try:
            while queue:
                group = _next(queue)
                if not group:
                    continue
                try:
                    answers = await self._run(group[0][0].carry([wanted.item for wanted, _ in group]))
                except Exception as error:
                    for _, answer in group:
                        if not answer.done():
                            answer.set_exception(error)
                else:
                    for (_, answer), given in zip(group, answers, strict=True):
                        if not answer.done():
                            answer.set_result(given)
        finally:
            del queues[key]
            for _, answer in (*group, *queue):
                answer.cancel()  # of those that are not answered: the loop ends


def _queued(queues: _Queues, wanted: InOrder, *, first: bool = False) -> asyncio.Future[Any]:
    """Take a place behind those of the same key, or before them."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    queue = queues[wanted.key]
    if queue is None:
        queue = queues[wanted.key] = deque()
    (queue.appendleft if first else queue.append)((wanted, answer))
    return answer


def _next(queue: deque[_Waiting]) -> list[_Waiting]:
    """The first that still wants an answer, and those behind it which may go along."""
    group: list[_Waiting] = []
    while queue and len(group) < _MOST:
        if not queue[0][1].done():
            if group and (queue[0][0].alone or group[0][0].alone):
                break
            group.append(queue[0])
        queue.popleft()
    return group
