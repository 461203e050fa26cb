"""Making a deterministic loop the running one of a thread, and giving the thread back as it was.

The host's own loop may be running: turns are taken from its callbacks, its tasks, or threads without any loop.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from typing import Any

from durable_ray.orchestrations.engine.asyncio_gaps import abandon
from durable_ray.orchestrations.engine.loop import DeterministicLoop


class Running:
    """``with Running(loop):`` within the block, `loop` is what asyncio finds as the running loop."""

    __slots__ = ("_hooks", "_loop", "_outer", "_task")

    def __init__(self, loop: DeterministicLoop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        self._outer = outer = events._get_running_loop()
        self._task: asyncio.Task[Any] | None = None if outer is None else asyncio.current_task(outer)
        if outer is not None and self._task is not None:
            # From Python 3.14 on a thread has one current task, whatever the loop.
            asyncio.tasks._leave_task(outer, self._task)
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._abandon)
        events._set_running_loop(self._loop)

    def __exit__(self, *error: object) -> None:
        events._set_running_loop(self._outer)
        sys.set_asyncgen_hooks(*self._hooks)
        if self._outer is not None and self._task is not None:
            asyncio.tasks._enter_task(self._outer, self._task)

    def _abandon(self, generator: Any) -> None:
        """Close an async generator that was dropped half-way, from wherever the garbage collector found it."""
        loop = self._loop
        inert, loop.inert = loop.inert, True
        try:
            with Running(loop):
                abandon(generator)
        finally:
            loop.inert = inert
