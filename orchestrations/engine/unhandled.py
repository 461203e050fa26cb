"""Which failures an execution has not handled when it ends: what a rewind runs again.

A failed activity or sub-orchestration is unhandled if

- its failure is behind the error with which the code ended: itself, as a cause, in a group, or as one of several that
  were awaited together, of which only the first is raised (`failed_task_ids`);
- the code never took its failure: it neither awaited the task nor asked for its exception (`Untaken`), or it had
  ended when the failure came, in the same turn;
- the code had given the task up because of such a failure, as a `TaskGroup` does with the rest of its tasks, and so
  did not see this one.

All else that failed was handled, and stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable
from typing import Any
from weakref import WeakSet

from durable_ray.orchestrations.engine.tasks import failed_task_ids


class Untaken:
    """The failures of an execution that no code has taken: neither awaited nor asked for.

    asyncio keeps book of that, for its log. Whether the garbage collector has found the future by now makes no difference.
    """

    __slots__ = ("_failed", "_lost")

    def __init__(self) -> None:
        self._failed: WeakSet[asyncio.Future[Any]] = WeakSet()
        self._lost: set[int] = set()

    def note(self, future: asyncio.Future[Any]) -> None:
        """If `future` failed, its exception was not retrieved yet."""
        if _untaken(future):
            self._failed.add(future)

    def lose(self, error: BaseException) -> None:
        """This failure cannot be retrieved any more."""
        self._lost.update(failed_task_ids(error))

    def task_ids(self) -> tuple[int, ...]:
        """The numbers of the tasks behind what no code has taken."""
        errors = [future._exception for future in self._failed if _untaken(future)]  # `exception()` would take it
        return (*self._lost, *failed_task_ids(*(error for error in errors if error is not None)))


def _untaken(future: asyncio.Future[Any]) -> bool:
    return future.done() and bool(future._log_traceback)


class Failures:
    """What failed in one execution, and what the code had given up by then. Times are positions in history."""

    __slots__ = ("_came", "_given_up", "_ignored", "_unhandled", "_wanted")

    def __init__(self) -> None:
        self._came: dict[int, int] = {}
        self._given_up: dict[int, int] = {}
        self._ignored: set[int] = set()
        self._unhandled: set[int] = set()
        self._wanted: Container[int] | None = None

    def gave_up(self, number: int, at: int) -> None:
        """The code cancelled this task, at event `at`."""
        self._given_up[number] = at

    def came(self, number: int, at: int) -> None:
        """The failure of this task came, at event `at`."""
        self._came[number] = at
        if number in self._given_up:
            self._ignored.add(number)
        elif self._wanted is not None and number in self._wanted:
            self._unhandled.add(number)

    def answered(self, number: int) -> None:
        """The result of this task came."""
        self._given_up.pop(number, None)

    def ended(self, unhandled: Iterable[int], wanted: Container[int]) -> None:
        """The code failed. `unhandled`: what it did not handle; `wanted`: the tasks that it was still waiting for."""
        self._unhandled.update(unhandled)
        self._wanted = wanted

    def unhandled(self) -> tuple[int, ...]:
        """The numbers of the tasks whose failures the code has not handled."""
        first = min((self._came[number] for number in self._unhandled if number in self._came), default=None)
        if first is None:
            return tuple(sorted(self._unhandled))
        because = {number for number in self._ignored if self._given_up[number] >= first}
        return tuple(sorted(self._unhandled | because))
