"""The event loop of this process's async activities: one, for as long as the process lives.

A client that is made once in a module (an `httpx.AsyncClient`, a database pool, a gRPC channel) belongs to the loop in which it
was first used, and has to find it again in the next attempt. So what an attempt leaves running there is left running, too. As
in any asyncio program, code that blocks holds up what shares the loop: that belongs into an activity that is no coroutine.

Attempts in threads (of a worker, of a host) share a loop that has a thread of its own. In a Ray task the main thread runs user
code, so that Ray knows whose task it is, and the loop runs there while an attempt does.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from durable_ray.actors.activities import sigterm

#: Threads for what coroutines hand over by `asyncio.to_thread`: as many attempts as run at once may do so.
_THREADS = 128

_lock = threading.Lock()
_shared: asyncio.AbstractEventLoop | None = None
_runner: asyncio.Runner | None = None


def finish(awaitable: Awaitable[Any]) -> Any:
    """Run what an activity returned to its end, and answer its result. Blocks."""
    if threading.current_thread() is threading.main_thread():
        return _finish_here(awaitable)
    attempt = _Attempt(awaitable)
    loop = _shared_loop()
    # The task sees the context of this thread, as if it ran here.
    loop.call_soon_threadsafe(attempt.begin, loop)
    attempt.over.wait()
    return attempt.outcome()


class _Attempt:
    """A coroutine on the shared loop, waited for by a thread."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        #: asyncio itself keeps no more than a weak reference to a task.
        self._task: asyncio.Task[None] | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self.over = threading.Event()

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            self._result = await self._awaitable
        except BaseException as error:  # also SystemExit: it is this attempt's failure, not the end of the loop
            self._error = error
        finally:
            self._task = None
            self.over.set()

    def outcome(self) -> Any:
        if (error := self._error) is not None:
            try:
                raise error
            finally:
                self._error = error = (
                    None  # its traceback holds this frame: whatever it holds would wait for the collector
                )
        return self._result


def _shared_loop() -> asyncio.AbstractEventLoop:
    global _shared
    with _lock:
        if _shared is None:
            _shared = _new_loop()
            threading.Thread(target=_run_for_ever, args=(_shared,), name="activities' loop", daemon=True).start()
        return _shared


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="to_thread"))
    return loop


def _run_for_ever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            continue  # of a task that an attempt has made; whoever awaits that gets it as well


def _finish_here(awaitable: Awaitable[Any]) -> Any:
    """In the main thread, which is interrupted when Ray cancels the task (KeyboardInterrupt) or ends it (SystemExit)."""
    global _runner
    if _runner is None:
        _runner = asyncio.Runner(loop_factory=_new_loop)
    done = False

    async def run() -> Any:
        nonlocal done
        try:
            return await awaitable
        finally:
            done = True

    try:
        return _runner.run(run(), context=contextvars.copy_context())
    except BaseException:
        if not done or sigterm.terminating():
            # What stands where it was when the loop was left has to leave, with its `finally` blocks.
            runner, _runner = _runner, None
            runner.close()
        raise


def _forget() -> None:
    """A forked child has the objects, but no thread that runs them."""
    global _shared, _runner, _lock
    _shared = _runner = None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)
