"""Watching an instance until it has ended: how far it has got, read whenever it has moved on, and shown as one live line."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator
from datetime import timedelta
from typing import Any, Generic, TypeVar

from durable_ray.actors import errors
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.instances.status import OrchestrationStatus, result_of, status_of
from durable_ray.actors.instances.waits import Wait, waits_of
from durable_ray.actors.messages import Ending
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.router import Router
from durable_ray.client.steps import AwaitingDriver, BlockingDriver, Steps
from durable_ray.notebook.live_line import LiveLine
from durable_ray.notebook.progress import Progress, progress_of
from durable_ray.notebook.statuses import entries_of

R = TypeVar("R")

#: Seconds between two readings; one that ends is known at once.
_EVERY = 0.4
#: Events of a history that is read for its counts.
_EVENTS = 5_000


class Watched:
    """What is known of one watched instance, and the steps that learn more."""

    def __init__(self, router: Router, instance_id: str, output_hint: Any, timeout: float | None) -> None:
        self._router = router
        self._instance_id = instance_id
        self._output_hint = output_hint
        self._timeout = timeout
        self._until = None if timeout is None else time.monotonic() + timeout
        self._began = time.monotonic()
        self._seen: tuple[str, int] | None = None
        self._entries: list[dict[str, Any]] = []
        self._waits: tuple[Wait, ...] = ()
        self._ending: Ending | None = None

    def look(self) -> Steps[Progress]:
        """How far it has got. Its history is read only if it has moved on since, and is not too long.

        Raises InstanceNotFound.
        """
        found = yield from self._router.registry(Registry.row, self._instance_id)
        if found is None:
            raise errors.InstanceNotFound(self._instance_id)
        now = found.row.execution_id, found.row.turn
        if now != self._seen:
            self._seen, self._entries, self._waits = now, [], ()
            if found.row.events <= _EVENTS and found.row.damage is None:
                facts = yield from self._router.registry(Registry.waiting, self._instance_id, "output", True)
                if facts is not None:
                    self._waits = waits_of(facts)
                    self._entries = entries_of(status_of(facts.loaded.row, restore(facts.loaded)[0]))
        status = status_of(found.row, show_input=False, waiting_for=self._waits)
        return progress_of(status, self._entries, self._elapsed(status))

    def _elapsed(self, status: OrchestrationStatus) -> timedelta:
        if status.completed_time is not None:
            return status.completed_time - status.created_time
        # By this clock: the hub's may differ.
        return timedelta(seconds=time.monotonic() - self._began)

    def wait(self) -> Steps[bool]:
        """Wait for its end or the next reading; whether it has ended. Raises TimeoutError."""
        left = _EVERY if self._until is None else self._until - time.monotonic()
        self._ending = yield from self._router.wait(self._instance_id, max(0.0, min(_EVERY, left)))
        if self._ending is None and left <= 0:
            waits = "; ".join(map(str, self._waits[:3]))
            why = f"; it waits for {waits}" if waits else ""
            raise TimeoutError(f"instance {self._instance_id!r} has not finished after {self._timeout:g} s{why}")
        return self._ending is not None

    def result(self) -> Any:
        """Its output, or the error by which it ended."""
        assert self._ending is not None, "it has not ended yet"
        return result_of(self._ending, self._output_hint)


def watch_blocking(driver: BlockingDriver, watched: Watched) -> Any:
    """Show the line until the instance has ended; its output."""
    line = LiveLine()
    try:
        while True:
            _show(line, driver.run(watched.look()))
            if driver.run(watched.wait()):
                _show(line, driver.run(watched.look()))
                return watched.result()
    finally:
        line.close()


def _show(line: LiveLine, progress: Progress) -> None:
    line.show(str(progress), progress.step)


class InstanceWatch(Generic[R]):
    """An instance that is watched: `await` it for its output, or go through its progress with `async for`.

    One line shows how far it has got, in place: in a notebook's cell and on a terminal; in a pipe a line for each step.

    Example:
        >>> async for progress in handle.watch():  # doctest: +SKIP
        ...     if progress.fraction == 1: ...
    """

    def __init__(self, driver: AwaitingDriver, watched: Watched) -> None:
        self._driver = driver
        self._watched = watched

    def __await__(self) -> Generator[Any, Any, R]:
        return self._output().__await__()

    async def _output(self) -> R:
        async for _ in self:
            pass
        output: R = self._watched.result()
        return output

    async def __aiter__(self) -> AsyncIterator[Progress]:
        line = LiveLine()
        told: Progress | None = None
        ended = False
        try:
            while True:
                progress = await self._driver.run(self._watched.look())
                if told is None or progress.news != told.news:
                    line.hide()
                    told = progress
                    yield progress
                _show(line, progress)
                if ended:
                    return
                ended = await self._driver.run(self._watched.wait())
        finally:
            line.close()
