"""Client operations as steps, written once: a generator that yields the next call and is sent its answer.

A blocking client and an awaitable one drive the same steps; so there is one implementation, and neither pays for the other
(no event loop behind a blocking call, no thread behind an awaited one).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from msgspec import Struct, field

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class Call(Struct, frozen=True):
    """Call a method of the registry or of a host. `seconds`: how long an answer is worth waiting for."""

    target: str
    #: As its API declares it (`HostApi.wait`, `Registry.query`); what is called is the target's method of that name.
    method: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 30.0


class Pause(Struct, frozen=True):
    """Wait this long."""

    seconds: float


class InOrder(Struct, frozen=True):
    """Send `item` after everything with this key that the same client was asked to send before, and answer what came of it.

    `carry` sends several at once, in their order, and answers each. One that is `alone` goes with no others.
    """

    key: str
    item: Any
    carry: Callable[[list[Any]], Generator[Any, Any, list[Any]]]
    alone: bool = False


class TargetGone(Exception):
    """There is no such actor now: the call was not made."""


class TargetUnavailable(Exception):
    """The actor did not answer; the call may or may not have been made."""


Steps = Generator[Call | Pause | InOrder, Any, R]


class BlockingDriver(Protocol):
    """Runs steps in the caller's thread."""

    def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""


class AwaitingDriver(Protocol):
    """Runs steps on the caller's event loop."""

    async def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""

    def blocking(self) -> BlockingDriver:
        """A driver of the same hub that blocks."""


class Blocking:
    """Operations of a subclass block."""

    _driver: BlockingDriver


class Awaiting:
    """Operations of a subclass are awaited."""

    _driver: AwaitingDriver


class operation(Generic[S, P, R]):
    """A method written as steps: it blocks on a `Blocking` object and is awaited on an `Awaiting` one."""

    def __init__(self, steps: Callable[Concatenate[S, P], Steps[R]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__
        self.__name__ = steps.__name__

    @overload
    def __get__(self, instance: None, owner: type) -> operation[S, P, R]: ...
    @overload
    def __get__(self, instance: Blocking, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        bound = partial(self._drive, instance)
        update_wrapper(bound, self._steps)
        return bound

    def _drive(self, instance: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return instance._driver.run(self._steps(instance, *args, **kwargs))

    def steps(self, instance: S, *args: P.args, **kwargs: P.kwargs) -> Steps[R]:
        """The steps themselves, to be used within others: ``yield from``."""
        return self._steps(instance, *args, **kwargs)


def in_order(key: str, steps: Steps[R]) -> Steps[R]:
    """Take these steps after everything with this key that the same client was asked to send before."""

    def alone(_: list[Any]) -> Steps[list[R]]:
        return [(yield from steps)]

    answer: R = yield InOrder(key, None, alone, alone=True)
    return answer
