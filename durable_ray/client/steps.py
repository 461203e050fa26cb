"""Client operations as steps, written once: a generator that yields the next call and is sent its answer.

A blocking client and an awaitable one drive the same steps; so there is one implementation, and neither pays for the other
(no event loop behind a blocking call, no thread behind an awaited one).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from types import FunctionType
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from msgspec import Struct, field

from durable_ray.actors.errors import DurableRayError
from durable_ray.orchestrations.values.failures import OrchestrationError

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


#: What operations raise to say something to their caller. Where in here they were raised is nothing to a reader: their
#: tracebacks begin at the caller's line.
EXPECTED = (DurableRayError, OrchestrationError, TimeoutError)


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

    def awaiting(self) -> AwaitingDriver:
        """A driver of the same hub that is awaited."""


class AwaitingDriver(Protocol):
    """Runs steps on the caller's event loop."""

    async def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""

    def blocking(self) -> BlockingDriver:
        """A driver of the same hub that blocks."""


class Blocking:
    """Operations of a subclass block."""

    _driver: BlockingDriver
    #: Type variables in the signatures of operations, and what they are here: for those who read them.
    _stands_for: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for made in _operations(cls):
            setattr(cls, made.__name__, made.blocking(cls._stands_for))


class Awaiting:
    """Operations of a subclass are awaited."""

    _driver: AwaitingDriver
    _stands_for: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for made in _operations(cls):
            setattr(cls, made.__name__, made.awaited(cls._stands_for))


class operation(Generic[S, P, R]):
    """A method written as steps: it blocks on a `Blocking` object and is awaited on an `Awaiting` one.

    Each class of these gets plain methods, made when it is defined: so signatures, help and editors show what is called.
    """

    def __init__(self, steps: Callable[Concatenate[S, P], Steps[R]]) -> None:
        self._steps = cast(FunctionType, steps)
        self.__doc__ = steps.__doc__
        self.__name__ = steps.__name__

    @overload
    def __get__(self, instance: None, owner: type) -> operation[S, P, R]: ...
    @overload
    def __get__(self, instance: Blocking, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        return self

    def steps(self, instance: S, *args: P.args, **kwargs: P.kwargs) -> Steps[R]:
        """The steps themselves, to be used within others: ``yield from``."""
        return cast(Steps[R], self._steps(instance, *args, **kwargs))

    def blocking(self, stands_for: tuple[tuple[str, str], ...]) -> Callable[..., Any]:
        """The method of a class whose operations block."""
        steps = self._steps

        @wraps(self._shown(stands_for))
        def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True  # pytest shows the line of the caller
            try:
                return self._driver.run(steps(self, *args, **kwargs))
            except EXPECTED as error:
                raise error.with_traceback(None)  # noqa: B904 - it is the same error

        return method

    def awaited(self, stands_for: tuple[tuple[str, str], ...]) -> Callable[..., Any]:
        """The method of a class whose operations are awaited."""
        steps = self._steps

        @wraps(self._shown(stands_for))
        async def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                return await self._driver.run(steps(self, *args, **kwargs))
            except EXPECTED as error:
                raise error.with_traceback(None)  # noqa: B904 - it is the same error

        return method

    def _shown(self, stands_for: tuple[tuple[str, str], ...]) -> FunctionType:
        """A function with the signature that a caller sees: it answers what the steps return. It is never called."""
        steps = self._steps
        shown = FunctionType(steps.__code__, steps.__globals__, steps.__name__, steps.__defaults__, steps.__closure__)
        answer = steps.__annotations__["return"].removeprefix("Steps[").removesuffix("]")
        for variable, meant in stands_for:
            answer = re.sub(rf"\b{variable}\b", meant, answer)
        shown.__annotations__ = {**steps.__annotations__, "return": answer}
        shown.__kwdefaults__ = steps.__kwdefaults__
        shown.__doc__, shown.__module__, shown.__qualname__ = steps.__doc__, steps.__module__, steps.__qualname__
        return shown


def _operations(owner: type) -> list[operation[Any, ..., Any]]:
    """The operations that a class has or inherits, as they were written."""
    found: dict[str, object] = {}
    for kind in reversed(owner.__mro__):
        found.update(vars(kind))
    return [made for made in found.values() if isinstance(made, operation)]


def in_order(key: str, steps: Steps[R]) -> Steps[R]:
    """Take these steps after everything with this key that the same client was asked to send before."""

    def alone(_: list[Any]) -> Steps[list[R]]:
        return [(yield from steps)]

    answer: R = yield InOrder(key, None, alone, alone=True)
    return answer
