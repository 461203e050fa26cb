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
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self

from typing_extensions import ParamSpec, TypeVar

from durable_ray.orchestrations.authoring.activity_context import ActivityContext
from durable_ray.orchestrations.authoring.arguments import BoundActivity, BoundOrchestrator, bound_input
from durable_ray.orchestrations.authoring.hint_checks import late_complaints, local_hints
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.orchestrations.authoring.signatures import (
    Hints,
    Parameter,
    Shape,
    activity_shape,
    orchestrator_shape,
    read_hints,
    read_parameter_hints,
    several_parameters,
)
from durable_ray.orchestrations.values.showing import html_of

#: The function's parameters without the context, its result as an orchestrator gets it, and what the plain function returns:
#: the same, or a coroutine or generator of it. With defaults, so that a bare `Activity` means one of any signature.
P = ParamSpec("P", default=...)
R = TypeVar("R", default=Any)
C = TypeVar("C", default=R)

Kind = Literal["activity", "orchestrator"]
Style = Literal["coroutine", "generator", "function"]


log = logging.getLogger("durable_ray.definitions")


class CalledByReference(RuntimeError):
    """A definition that is known by name only was called directly."""


class Definition(Generic[P, R, C]):
    """What `Activity` and `Orchestrator` share. Not made by hand: use the decorators.

    Attributes:
        fn: the plain function, or None in a reference.
        shape: whether it takes a context and an input.
        parameters: all it takes but its context, if that is more than an input.
        style: how its body runs.
    """

    kind: ClassVar[Kind]
    options: Any
    _hints: Hints | None
    # What an older release has stored knows nothing of these two.
    parameters: tuple[Parameter, ...] = ()
    _parameter_hints: Mapping[str, Any] | None = None

    def __init__(self, fn: Callable[..., C], shape: Shape) -> None:
        self.fn: Callable[..., C] | None = fn
        self.shape = shape
        if several := several_parameters(fn, shape):
            self.parameters = several
        self.style = _style(fn)
        self._hints = None
        functools.update_wrapper(self, fn, ("__module__", "__name__", "__qualname__", "__doc__"), ())

    def __call__(self, *args: Any, **kwargs: Any) -> C:
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
    def title(self) -> str:
        """How messages name it."""
        return f"{self.kind} {self.name!r}"

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
            self._parameter_hints = read_parameter_hints(self.fn, self.parameters)
            for complaint in late_complaints(self.fn, self.shape, self.parameters):
                log.warning("%s: %s", self.title, complaint)
        return self._hints

    def look_at_hints(self) -> None:
        """Read what types the function has where it is decorated. Raises TypeError for those that cannot be understood."""
        assert self.fn is not None, "a reference is made with its hints"
        found = local_hints(self.fn, self.shape, self.parameters)
        self._hints, self._parameter_hints = found or (None, None)

    @property
    def input_hint(self) -> Any:
        """The type hint of the input, for `payloads.decode`; None without one."""
        return self.hints.input

    @property
    def parameter_hints(self) -> Mapping[str, Any]:
        """The type hints of all parameters, if they are more than an input; those without one are left out."""
        _ = self.hints  # with which these are read
        return self._parameter_hints or {}

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
        return {**self.__dict__, "_hints": self.hints, "_parameter_hints": self.parameter_hints}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        version = f" version {self.version}" if self.version else ""
        return f"<{self.kind} {self.name!r}{version}{' (by name)' if self.is_reference else ''}>"

    def _repr_html_(self) -> str | None:
        return html_of(self)


class Activity(Definition[P, R, C]):
    """A function that does the work: anything goes in it, and it may run more than once."""

    kind: ClassVar[Kind] = "activity"
    _how_to_call: ClassVar[str] = "ctx.call_activity(...)"
    options: ActivityOptions

    def __init__(self, fn: Callable[..., C], options: ActivityOptions) -> None:
        _check_function(fn, "activity")
        if inspect.isgeneratorfunction(fn):
            raise TypeError(
                f"activity {fn.__qualname__} is a generator, but an activity returns one value: return a list"
            )
        super().__init__(fn, activity_shape(fn))
        self.options = options

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
            """Run the plain function."""

    def bind(self, /, *args: P.args, **kwargs: P.kwargs) -> BoundActivity[R]:
        """This activity with the arguments of one call, without its context: for `call_activity(bound, retry_policy=...)`.

        Raises:
            InvalidArguments: it cannot be called so.

        Example:
            >>> resize.bind("cat.png", width=80)  # doctest: +SKIP

        Ray's and Ray Serve's `bind`: arguments now, the call later.
        """
        return BoundActivity(self, bound_input(self, args, kwargs))


if TYPE_CHECKING:

    class ContextualActivity(Activity[P, R, C]):
        """An activity that takes its context: only the plain function is given one by its caller."""

        def __call__(  # type: ignore[override]
            self, context: ActivityContext, /, *args: P.args, **kwargs: P.kwargs
        ) -> C:
            """Run the plain function."""


class Orchestrator(Definition[P, R, C]):
    """An orchestrator: a deterministic function (`async def`, a generator, or plain) that schedules work."""

    kind: ClassVar[Kind] = "orchestrator"
    _how_to_call: ClassVar[str] = "ctx.call_sub_orchestrator(...) or client.start_new(...)"
    options: OrchestratorOptions

    def __init__(self, fn: Callable[..., C], options: OrchestratorOptions) -> None:
        _check_function(fn, "orchestrator")
        super().__init__(fn, orchestrator_shape(fn))
        self.options = options

    if TYPE_CHECKING:

        def __call__(self, context: Any, /, *args: P.args, **kwargs: P.kwargs) -> C:
            """Run the plain function."""

    def bind(self, /, *args: P.args, **kwargs: P.kwargs) -> BoundOrchestrator[R]:
        """This orchestrator with the arguments of one start, without its context: for `start_new(bound, instance_id=...)`.

        Raises:
            InvalidArguments: it cannot be called so.

        Example:
            >>> client.start_new(order.bind("ada", items=3), instance_id="o-1")  # doctest: +SKIP

        See `Activity.bind`.
        """
        return BoundOrchestrator(self, bound_input(self, args, kwargs))


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
