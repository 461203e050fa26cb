"""The deterministic event loop: plain asyncio, driven by history instead of by the world.

Orchestrator code may use `asyncio.sleep`, `gather`, `timeout`, `TaskGroup`, queues and locks as it is used
to; what makes that repeatable is all here:

- callbacks run in the order they were scheduled, in rounds, and nothing else runs: no selector, no clock, no
  thread;
- time stands still within a turn, and a delayed callback is a durable timer (`Timers` below), not a heap of
  deadlines;
- tasks and futures hash by creation number, so that every set of them iterates alike in every process.
  asyncio keeps tasks in sets in `wait`, `as_completed` and `TaskGroup`, and the order of those sets decides
  what is cancelled first.

What replay could not repeat (I/O, threads, executors, signals, subprocesses) is refused by `worldless.py`,
and what asyncio itself would not repeat is closed by `asyncio_gaps.py`.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import sys
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

from durable_ray.orchestrations.engine import asyncio_gaps as gaps
from durable_ray.orchestrations.engine.handles import Handle, TimerHandle, Timers
from durable_ray.orchestrations.engine.tasks import (
    InertTask,
    OrderedFuture,
    OrderedGathering,
    OrderedTask,
)
from durable_ray.orchestrations.engine.unhandled import Untaken
from durable_ray.orchestrations.engine.worldless import WorldlessLoop
from durable_ray.orchestrations.values.failures import NotDeterministic
from durable_ray.orchestrations.values.times import SECOND as _SECOND
from durable_ray.orchestrations.values.times import after, duration

#: The order number is the low part of a hash, so that small sets iterate in creation order. Above it stands a
#: salt by execution: asyncio keeps every task of the process in one WeakSet, which would be quadratic if all
#: instances' first tasks had the hash 1.
_SALT_SHIFT = 20


class DeterministicLoop(WorldlessLoop):
    """An event loop for one execution of one orchestrator.

    Args:
        timers: where delayed callbacks go.
        seed: what distinguishes this execution from all others (any text).
        on_error: called with what asyncio would log (a failed callback, an exception that was never retrieved).

    `now` is the loop's clock in µs; set by the driver of the loop. While `inert`, nothing that code does
    counts.
    """

    __slots__ = (
        "_active",
        "_batch",
        "_on_error",
        "_order",
        "_ready",
        "_sweep_at",
        "_timers",
        "inert",
        "now",
        "untaken",
    )

    def __init__(self, timers: Timers, seed: str, on_error: Callable[[dict[str, Any]], None]) -> None:
        self.now = 0
        self.inert = False
        self._timers = timers
        self._on_error = on_error
        self._order = zlib.crc32(seed.encode("utf-8", "surrogatepass")) << _SALT_SHIFT
        self._ready: list[Handle] = []
        self._active: list[OrderedTask] = []
        self._sweep_at = 16
        self._batch: dict[int, OrderedTask] | None = None
        #: Failed tasks whose exception may not have been retrieved.
        self.untaken = Untaken()

    # --- what drives it ---

    def fire(self, handle: TimerHandle) -> None:
        """The durable timer of `handle` came due."""
        self._ready.append(handle.fired())

    def run_until_idle(self, main: asyncio.Future[Any]) -> None:
        """Run callbacks, and what they schedule, until none is left or `main` is done.

        Raises SystemExit or KeyboardInterrupt if a callback that is no task's raises it. asyncio would end its loop.
        """
        while self._ready and not self.inert:
            batch, self._ready = self._ready, []
            for handle in batch:
                if handle._cancelled:
                    continue
                try:
                    handle._context.run(handle._callback, *handle._args)  # type: ignore[arg-type]
                except (SystemExit, KeyboardInterrupt) as error:
                    # asyncio lets them through, besides giving them to the task that raised them. There they are
                    # failures like any other; here they would end the loop of the host.
                    if not any(
                        task.done() and not task.cancelled() and task._exception is error for task in self._active
                    ):
                        self._ready.clear()
                        raise
                except BaseException as error:
                    message = f"an exception escaped from the callback {handle._callback!r}"
                    self.call_exception_handler({"message": message, "exception": error, "handle": handle})
                if main.done() or self.inert:
                    self._ready.clear()
                    break
            # A traceback made meanwhile may keep this frame: from Python 3.12 on its task would live as long as that.
            batch.clear()
            del handle

    def next_order(self) -> int:
        """The next creation number; unique within the execution, and the same on every replay."""
        self._order += 1
        return self._order

    def sweep(self) -> None:
        """Let go of finished tasks; asyncio reports those whose exception was never retrieved."""
        for task in self._active:
            self.untaken.note(task)
        self._active = self.unfinished()

    def unfinished(self) -> list[OrderedTask]:
        """The tasks that are not done, in the order they were created."""
        return [task for task in self._active if not task.done()]

    def forget(self) -> None:
        """Let go of all callbacks and tasks."""
        self._ready.clear()
        self._active.clear()

    # --- asyncio's interface ---

    def time(self) -> float:
        """The orchestration's time, in seconds since the epoch."""
        return self.now / _SECOND

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run `callback` in this turn, after what is already scheduled."""
        handle = Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Run `callback` after `delay` seconds, on a durable timer."""
        return self._call_at(delay == math.inf, duration(delay, "a delay"), callback, args, context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Run `callback` at `when` (seconds since the epoch), on a durable timer."""
        return self._call_at(when == math.inf, duration(when, "a time") - self.now, callback, args, context)

    def _call_at(
        self,
        never: bool,
        delay: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> TimerHandle:
        at = after(self.now, delay)
        handle = TimerHandle(callback, args, context, self._timers, math.inf if never else at / _SECOND)
        if never:
            pass
        elif at > self.now and not self.inert:
            handle.number = self._timers.arm(at, handle)
        else:
            self._ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        if sys._getframe(1).f_code is gaps.WRAP_FUTURE:
            raise NotDeterministic(
                "an orchestrator cannot await what runs outside of it (a Ray ObjectRef, a concurrent future): "
                "no history has its result. Await it in an activity, and call that activity"
            )
        return OrderedFuture(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Future[Any]:
        """Run `coro` as a task of this loop."""
        if self.inert:
            coro.close()
            return InertTask(loop=self)
        caller = sys._getframe(1)
        if caller.f_code in gaps.ENSURE_FUTURE:
            batch = gaps.awaited_together(caller)
            if batch is not None:
                return self._one_of(batch, coro)
        return self._new_task(coro, name, context, options)

    def _new_task(
        self,
        coro: Coroutine[Any, Any, Any],
        name: str | None = None,
        context: contextvars.Context | None = None,
        options: dict[str, Any] | None = None,
    ) -> OrderedTask:
        order = self.next_order()
        # asyncio numbers default names process-wide; a name that code may read has to be the same on every
        # replay.
        name = f"Task-{order & ((1 << _SALT_SHIFT) - 1)}" if name is None else name
        task = OrderedTask(order, coro, loop=self, name=name, context=context, **(options or {}))
        self._active.append(task)
        if len(self._active) > self._sweep_at:
            self.sweep()
            self._sweep_at = max(16, 2 * len(self._active))
        return task

    def _one_of(self, batch: object, coro: Coroutine[Any, Any, Any]) -> OrderedTask:
        """The task of one of the coroutines given to `as_completed`, which begin in the order given."""
        if self._batch is None or id(coro) not in self._batch:
            self._batch = {id(each): self._new_task(each) for each in gaps.in_order(batch, coro)}
        return self._batch.pop(id(coro))

    def get_debug(self) -> bool:
        """Always False. asyncio asks whenever it makes a future: so `gather`'s get their creation number."""
        frame = sys._getframe(1)
        if frame.f_code is gaps.GATHERING:
            OrderedGathering.adopt(frame.f_locals["self"], self.next_order())
        return False

    def is_closed(self) -> bool:
        """Whether the execution is being put away."""
        return self.inert

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report a failure that no code handled: logged, never fatal, silent in replay."""
        if not self.inert:
            error = context.get("exception")
            if error is not None and not context.keys().isdisjoint(("future", "task")):
                self.untaken.lose(error)
            self._on_error(context)
