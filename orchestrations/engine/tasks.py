"""What orchestrator code waits for. All of it is an `asyncio.Future` of the deterministic loop, so that
`await`, `gather`, `wait`, `shield` and `timeout` work on durable work as on any other.

A durable task is finished by an event of history and by nothing else. It is known to its execution by its
number; cancelling it gives up the result.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, cast

from durable_ray.orchestrations.engine.asyncio_gaps import exception_of
from durable_ray.orchestrations.values.failures import TaskFailed, reasons


class Numbered(Protocol):
    """The part of a loop that hands out creation numbers."""

    def next_order(self) -> int:
        """The next one."""


class Book(Protocol):
    """Who remembers what failed until somebody takes it."""

    def note(self, future: asyncio.Future[Any]) -> None:
        """Track `future`: its exception, if it has one, was not retrieved yet."""


class Loop(Numbered, Protocol):
    """What futures need of their loop."""

    untaken: Book


class OrderedFuture(asyncio.Future[Any]):
    """A future that hashes by creation number, so that sets of futures iterate alike in every process."""

    __slots__ = ("_order",)

    def __init__(self, *, loop: Any) -> None:
        super().__init__(loop=loop)
        self._order: int = loop.next_order()

    def set_exception(self, exception: Any, /) -> None:
        """Fail. The loop remembers it until somebody takes the exception."""
        super().set_exception(exception)
        cast(Loop, self.get_loop()).untaken.note(self)

    def exception(self) -> BaseException | None:
        """The failure, or None."""
        return exception_of(self, super().exception)

    def __hash__(self) -> int:
        return self._order


class OrderedTask(asyncio.Task[Any]):
    """A task that hashes by creation number."""

    __slots__ = ("_order",)

    def __init__(self, order: int, coro: Coroutine[Any, Any, Any], **options: Any) -> None:
        # First of all: asyncio puts the task into a set while it initialises it.
        self._order = order
        super().__init__(coro, **options)

    def exception(self) -> BaseException | None:
        """The failure, or None."""
        return exception_of(self, super().exception)

    def __hash__(self) -> int:
        return self._order


class OrderedGathering(asyncio.tasks._GatheringFuture):  # type: ignore[name-defined, misc]
    """What `asyncio.gather` returns, hashing by creation number.

    `gather` names its class itself, so the loop turns the object into this one while it is being made.
    """

    _order: int

    @staticmethod
    def adopt(future: Any, order: int) -> None:
        """Make `future`, which `gather` is just creating, one of these."""
        future.__class__ = OrderedGathering
        future._order = order

    def set_exception(self, exception: Any, /) -> None:
        """Fail with the first failure. `gather` drops all that follow, so they are noted on this one as they come."""
        super().set_exception(exception)
        cast(Loop, self.get_loop()).untaken.note(self)
        group = [exception]
        _groups(exception).append(group)
        for child in dict.fromkeys(self._children):
            if child.done():
                _note_sibling(group, child)
            else:
                child.add_done_callback(partial(_note_sibling, group))

    def set_result(self, result: Any, /) -> None:
        """Succeed. With `return_exceptions=True` failures are among the results, and code may raise one of several."""
        super().set_result(result)
        remember_siblings([error for error in result if isinstance(error, BaseException)])

    def __hash__(self) -> int:
        return self._order


class InertTask(OrderedFuture):
    """What calls return while an execution is evicted: never done, so awaiting it returns control to the eviction."""

    __slots__ = ()


class Owner(Protocol):
    """Notified when a durable task is cancelled."""

    def cancelled(self, task: DurableTask) -> None:
        """The result of `task` is no longer wanted."""


class DurableTask(OrderedFuture):
    """A result that history will bring.

    Attributes:
        task_id: its number in the execution.
        name: what was called or is waited for.
        hint: the type to decode the result as, or None.
    """

    __slots__ = ("_owner", "hint", "name", "task_id")

    def __init__(self, owner: Owner, loop: Any, task_id: int, name: str, hint: object = None) -> None:
        super().__init__(loop=loop)
        self._owner = owner
        self.task_id = task_id
        self.name = name
        self.hint = hint

    def cancel(self, msg: Any | None = None) -> bool:
        """Give up on the result. False if it is already there."""
        if not super().cancel(msg=msg):
            return False
        self._owner.cancelled(self)
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} #{self.task_id} {self.name!r} {self._state.lower()}>"


class ActivityTask(DurableTask):
    """The result of an activity. Cancelling it asks the runtime to stop the activity."""

    __slots__ = ()


class ChildTask(DurableTask):
    """The result of a sub-orchestration. Cancelling it does not stop the sub-orchestration."""

    __slots__ = ("instance_id",)

    instance_id: str


class TimerTask(DurableTask):
    """A durable timer. Cancelling it disarms it."""

    __slots__ = ()


class EventTask(DurableTask):
    """The next external event of a name. Cancelling it leaves the event to the next waiter."""

    __slots__ = ("since", "timer")

    timer: asyncio.Handle | None
    #: When it began to wait (µs).
    since: int


class AllTask(OrderedFuture):
    """Done when all of its parts are: their results in order, or else the first failure in that order.

    Unlike `asyncio.gather` it waits for all even if one fails. Cancelling it cancels its parts, as there.
    """

    __slots__ = ("_left", "_parts")

    def __init__(self, parts: Sequence[asyncio.Future[Any]], *, loop: Any) -> None:
        super().__init__(loop=loop)
        self._parts = parts
        # The same task may be given twice; it finishes once.
        distinct = dict.fromkeys(parts)
        self._left = len(distinct)
        for part in distinct:
            part.add_done_callback(self._one_done)
        if not parts:
            self.set_result([])

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the parts that are not done; False if all are."""
        if self.done():
            return False
        for part in self._parts:
            part.cancel(msg=msg)
        return super().cancel(msg=msg)

    def _one_done(self, _: asyncio.Future[Any]) -> None:
        self._left -= 1
        if self._left or self.done():
            return
        errors = [error for part in dict.fromkeys(self._parts) if (error := failure_of(part)) is not None]
        if errors:
            remember_siblings(errors)
            self.set_exception(errors[0])
        else:
            self.set_result([part.result() for part in self._parts])


class AnyTask(OrderedFuture):
    """Done when the first of its parts is: the result is that part, whether it succeeded or failed.

    The others go on and can be awaited again, also after this one was cancelled.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[asyncio.Future[Any]], *, loop: Any) -> None:
        super().__init__(loop=loop)
        self._parts: Sequence[asyncio.Future[Any]] = parts
        ready = next((part for part in parts if part.done()), None)
        if ready is not None:
            self.set_result(ready)
            return
        for part in parts:
            part.add_done_callback(self._one_done)

    def _one_done(self, part: asyncio.Future[Any]) -> None:
        if not self.done():
            self.set_result(part)
        # A monitor races one long task against many short ones: its callbacks must not pile up on the long
        # one.
        for other in self._parts:
            other.remove_done_callback(self._one_done)
        self._parts = ()


def failure_of(future: asyncio.Future[Any]) -> BaseException | None:
    """The failure of a finished future; a cancelled one counts as failed."""
    if future.cancelled():
        return asyncio.CancelledError()
    return future.exception()


def remember_siblings(errors: Sequence[BaseException]) -> None:
    """Note on each of several failures what the others were: as a rule only one of them is raised."""
    if len(errors) > 1:
        group = list(errors)
        for error in group:
            _groups(error).append(group)


def _groups(error: BaseException) -> list[list[BaseException]]:
    """What failed together with `error`; kept on it, and filled while more fail."""
    found: list[list[BaseException]] | None = getattr(error, "_siblings", None)
    if found is None:
        found = []
        with contextlib.suppress(AttributeError):
            error._siblings = found  # type: ignore[attr-defined]
    return found


def _note_sibling(group: list[BaseException], child: asyncio.Future[Any]) -> None:
    if not child.cancelled() and (error := child.exception()) is not None:
        group.append(error)


def failed_task_ids(*errors: BaseException) -> tuple[int, ...]:
    """The numbers of the tasks whose failures are behind `errors`: themselves, their causes, groups and siblings.

    Example:
        >>> from durable_ray.orchestrations.values.failures import FailureDetails
        >>> failed_task_ids(TaskFailed("no", FailureDetails("E", "no"), 3))
        (3,)
    """
    seen: dict[int, BaseException] = {}
    found: dict[int, None] = {}
    groups: set[int] = set()
    todo: list[BaseException] = list(errors)
    while todo:
        at = todo.pop()
        if id(at) in seen:
            continue
        seen[id(at)] = at
        if isinstance(at, TaskFailed):
            found[at.task_id] = None
        # `raise ... from None` hides what was being handled from a reader; it is no less the reason.
        todo.extend(reasons(at, hidden=True))
        for group in getattr(at, "_siblings", ()):
            if id(group) not in groups:  # each of thousands may name the same thousands
                groups.add(id(group))
                todo.extend(group)
    return tuple(sorted(found))
