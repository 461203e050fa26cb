"""Definitions: a function together with its name and options, as the engine and its users hold it.

A definition can still be called like the function it was made from, so that user code is tested without any
engine. It may also be a *reference*: name, options and types without the function. Pinned orchestrators
hold their activities in this form, because an activity's code is looked up by name when it is scheduled:
that is how a fix reaches instances that are already running.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Literal, Self

from typing_extensions import ParamSpec, TypeVar

from durable_ray.orchestrations.authoring.hint_checks import late_complaints, local_hints
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.orchestrations.authoring.signatures import Hints, Shape, activity_shape, orchestrator_shape, read_hints

#: With defaults, so that a bare `Activity` means one of any signature.
P = ParamSpec("P", default=...)
R = TypeVar("R", default=Any)

Kind = Literal["activity", "orchestrator"]
Style = Literal["coroutine", "generator", "function"]


log = logging.getLogger("durable_ray.definitions")


class CalledByReference(RuntimeError):
    """A definition that is known by name only was called directly."""


class Definition(Generic[P, R]):
    """What `Activity` and `Orchestrator` share. Not made by hand: use the decorators.

    Attributes:
        fn: the plain function, or None in a reference.
        shape: whether it takes a context and an input.
        style: how its body runs.
    """

    kind: ClassVar[Kind]
    options: Any
    _hints: Hints | None

    def __init__(self, fn: Callable[P, R], shape: Shape) -> None:
        self.fn: Callable[P, R] | None = fn
        self.shape = shape
        self.style = _style(fn)
        self._hints = None
        functools.update_wrapper(self, fn, ("__module__", "__name__", "__qualname__", "__doc__"), ())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the plain function here and now, with nothing durable about it: for unit tests."""
        if self.fn is None:
            raise CalledByReference(
                f"{self.kind} {self.name!r} is here by name only, so that its newest code is what runs: "
                f"use {self._how_to_call} instead of calling it"
            )
        return self.fn(*args, **kwargs)

    _how_to_call: ClassVar[str]

    @property
    def name(self) -> str:
        """What it is called and registered by."""
        return str(self.options.name)

    @property
    def version(self) -> str:
        """The version label; empty where none was given, and for activities."""
        return str(getattr(self.options, "version", ""))

    @property
    def hints(self) -> Hints:
        """The types of input and output, read when first needed: they may name classes defined later."""
        if self._hints is None:
            assert self.fn is not None, "a reference is made with its hints"
            self._hints = read_hints(self.fn, self.shape)
            for complaint in late_complaints(self.fn, self.shape):
                log.warning("%s %r: %s", self.kind, self.name, complaint)
        return self._hints

    def look_at_hints(self) -> None:
        """Read what types the function has where it is decorated. Raises TypeError for those that cannot be understood."""
        assert self.fn is not None, "a reference is made with its hints"
        self._hints = local_hints(self.fn, self.shape)

    @property
    def input_hint(self) -> Any:
        """The type hint of the input, for `payloads.decode`; None without one."""
        return self.hints.input

    @property
    def output_hint(self) -> Any:
        """The type hint of the result, for `payloads.decode`; None without one."""
        return self.hints.output

    @property
    def is_reference(self) -> bool:
        """Whether the code is elsewhere."""
        return self.fn is None

    def reference(self) -> Self:
        """This definition without its code."""
        light = object.__new__(type(self))
        light.__setstate__({**self.__getstate__(), "fn": None, "__wrapped__": None})
        return light

    def __getstate__(self) -> dict[str, Any]:
        # Resolved here: the names in text hints mean nothing in the process that loads this.
        return {**self.__dict__, "_hints": self.hints}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        version = f" version {self.version}" if self.version else ""
        return f"<{self.kind} {self.name!r}{version}{' (by name)' if self.is_reference else ''}>"


class Activity(Definition[P, R]):
    """A function that does the work: anything goes in it, and it may run more than once."""

    kind: ClassVar[Kind] = "activity"
    _how_to_call: ClassVar[str] = "ctx.call_activity(...)"
    options: ActivityOptions

    def __init__(self, fn: Callable[P, R], options: ActivityOptions) -> None:
        _check_function(fn, "activity")
        if inspect.isgeneratorfunction(fn):
            raise TypeError(
                f"activity {fn.__qualname__} is a generator, but an activity returns one value: return a list"
            )
        super().__init__(fn, activity_shape(fn))
        self.options = options


class Orchestrator(Definition[P, R]):
    """An orchestrator: a deterministic function (`async def`, a generator, or plain) that schedules work."""

    kind: ClassVar[Kind] = "orchestrator"
    _how_to_call: ClassVar[str] = "ctx.call_sub_orchestrator(...) or client.start_new(...)"
    options: OrchestratorOptions

    def __init__(self, fn: Callable[P, R], options: OrchestratorOptions) -> None:
        _check_function(fn, "orchestrator")
        super().__init__(fn, orchestrator_shape(fn))
        self.options = options


def _style(fn: Callable[..., object]) -> Style:
    if inspect.iscoroutinefunction(fn):
        return "coroutine"
    return "generator" if inspect.isgeneratorfunction(fn) else "function"


def _check_function(fn: object, kind: Kind) -> None:
    if isinstance(fn, Definition):
        raise TypeError(f"{fn!r} is already an {fn.kind}; decorate a function once")
    if type(fn).__module__.split(".")[0] == "ray":
        raise TypeError(f"@{kind} goes on the plain function, not on what @ray.remote made of it; drop @ray.remote")
    if not inspect.isfunction(fn):
        what = "a class" if isinstance(fn, type) else f"a {type(fn).__name__}"
        raise TypeError(f"@{kind} needs a function made with def, not {what}; wrap it in one")
    if inspect.isasyncgenfunction(fn):
        raise TypeError(f"{kind} {fn.__qualname__} is an async generator; use async def without yield")
