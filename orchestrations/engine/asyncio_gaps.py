"""Where asyncio would let something in that replay cannot repeat, and what is done about it.

It is plain asyncio that orchestrators use, unpatched: other loops of the process must not notice. So each gap
is closed from inside the deterministic loop, by looking at who is asking it for a task or a future:

- `as_completed` makes tasks of bare coroutines in the order of a set of addresses;
- `gather` makes a future that hashes by address;
- `wrap_future`, with which a Ray ObjectRef is awaited, waits for something that is in no history;
- `wait` looks at the failures that it does not raise, and then they count as seen by code;
- an async generator that is dropped half-way is finished by whichever loop runs when the garbage collector
  finds it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from types import CodeType, FrameType
from typing import Any

from durable_ray.orchestrations.values.failures import Evicted, NotDeterministic


def _codes(*functions: object) -> frozenset[CodeType]:
    return frozenset(function.__code__ for function in functions if hasattr(function, "__code__"))


ENSURE_FUTURE = _codes(asyncio.ensure_future, getattr(asyncio.tasks, "_ensure_future", None))
_AS_COMPLETED: CodeType = asyncio.as_completed.__code__
WRAP_FUTURE: CodeType = asyncio.wrap_future.__code__
GATHERING: CodeType = asyncio.tasks._GatheringFuture.__init__.__code__  # type: ignore[attr-defined]
#: What `asyncio.wait` calls when one that it waits for is done.
_WAIT_LOOKS = frozenset(
    const
    for const in asyncio.tasks._wait.__code__.co_consts  # type: ignore[attr-defined]
    if isinstance(const, CodeType)
)


def exception_of(future: Any, ask: Callable[[], BaseException | None]) -> BaseException | None:
    """What `future.exception()` answers; without counting as seen if it is only `asyncio.wait` that asks."""
    if sys._getframe(2).f_code in _WAIT_LOOKS and future.done() and not future.cancelled():
        exception: BaseException | None = future._exception
        return exception
    return ask()


def awaited_together(frame: FrameType | None) -> object | None:
    """What was given to `as_completed`, if that is who asks for a task.

    It puts bare coroutines, which hash by address, into a set before it makes tasks of them: in another
    process they would start in another order.
    """
    for _ in range(5):
        if frame is None:
            return None
        if frame.f_code is _AS_COMPLETED:
            return next(iter(frame.f_locals.values()), None)
        frame = frame.f_back
    return None


def in_order(batch: Any, coro: object) -> list[Coroutine[Any, Any, Any]]:
    """The distinct coroutines of `batch`, `coro` among them, in the order they were given."""
    ordered = not isinstance(batch, (set, frozenset)) and iter(batch) is not batch
    coroutines = list({id(each): each for each in batch if asyncio.iscoroutine(each)}.values()) if ordered else []
    if not any(each is coro for each in coroutines):
        raise NotDeterministic(
            "asyncio.as_completed starts bare awaitables of a set or an iterator in an order that another "
            "process would not repeat; give it a list, or tasks: "
            "as_completed([asyncio.create_task(c) for c in ...])"
        )
    return coroutines


def abandon(generator: Any) -> None:
    """Close an async generator that was dropped half-way.

    When that happens is up to the garbage collector, so nothing that it does counts: its `finally` blocks
    run, its awaits do not.
    """
    closing = generator.aclose()
    try:
        closing.send(None)
        closing.throw(Evicted("an abandoned async generator cannot wait; use contextlib.aclosing"))
    except BaseException:  # StopIteration: it has ended
        return
