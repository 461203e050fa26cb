"""Work beside an event loop: blocking calls on threads, repeated until the store answers; tasks that are kept until done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from durable_ray.actors.store.contract import Fenced

log = logging.getLogger("durable_ray.actor")

T = TypeVar("T")

#: Seconds between two calls of what must be answered: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

#: Runs a blocking call on a thread that may block.
Blocking = Callable[[Callable[[], Any]], Awaitable[Any]]
#: Runs a coroutine in the background.
Spawn = Callable[[Coroutine[Any, Any, Any]], None]


def next_pause(last: float, first: float, longest: float, factor: float = 2.0) -> float:
    """The pause (s) after one of `last`, 0 if there was none: exponential backoff."""
    return min(last * factor, longest) if last else first


async def until_answered(blocking: Blocking, call: Callable[[], T], what: str) -> T:
    """The answer of `call`, run by `blocking`; after any error it is called again, with pauses (s) that grow.

    Ends without an answer only by being cancelled, or with Fenced: what must be done is its successor's to do.
    """
    pause = 0.0
    while True:
        try:
            answer: T = await blocking(call)
            return answer
        except Fenced:
            raise
        except Exception as error:
            log.warning("%s failed, retrying: %s", what, error)
        pause = next_pause(pause, _FIRST_PAUSE, _LONGEST_PAUSE)
        await asyncio.sleep(pause)


class TaskSet:
    """Tasks that are kept until they are done (an event loop holds them weakly) and cancelled together.

    `failed` is called with the error of each that fails.
    """

    def __init__(self, failed: Callable[[BaseException], None] | None = None) -> None:
        self._failed = failed
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` as a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def cancel(self) -> None:
        """Cancel all that are not done."""
        for task in tuple(self._tasks):
            task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if self._failed is not None and not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)


class Background:
    """What an actor does beside its event loop. `fenced` is called when a blocking call finds that the fence is lost."""

    def __init__(self, who: str, threads: int, fenced: Callable[[Fenced], None]) -> None:
        self._who = who
        self._fenced = fenced
        #: Once it is set, calls raise it instead of being made.
        self.refusal: Fenced | None = None
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=who)
        self._calls = 0
        self.tasks = TaskSet(self._log)

    @property
    def idle(self) -> bool:
        """Whether no call and no task is under way."""
        return not (self._calls or self.tasks)

    async def blocking(self, call: Callable[[], T]) -> T:
        """Run `call` on a thread that may block."""
        if self.refusal is not None:
            raise Fenced(str(self.refusal))
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except Fenced as error:
            self._fenced(error)
            raise
        finally:
            self._calls -= 1

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` as a task; an error in it is logged."""
        self.tasks.spawn(work)

    def close(self) -> None:
        """Take no more calls; those under way are not waited for."""
        self._threads.shutdown(wait=False)

    def _log(self, error: BaseException) -> None:
        if not isinstance(error, Fenced):
            log.error("%s: background work failed", self._who, exc_info=error)
