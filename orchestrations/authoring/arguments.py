"""Arguments: how a function of several parameters is called with the one payload that an input is.

A caller binds its arguments to the signature (`bind`). What one input can say is stored as that input, as ever; all else as
`{"$arguments": {name: value, ...}}`. The payload itself says which of the two it is, so an activity that gains a parameter or
gives one a default still understands calls that were made before. A function that no single input can call takes a plain object
of its parameters too: so it is started over HTTP or from the command line.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import GenericAlias
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from durable_ray.orchestrations.authoring.signatures import Parameter, Shape
from durable_ray.orchestrations.values.payloads import PICKLED, Payload, PayloadError, PayloadTypeError

#: The one key of an input that is arguments by name. No parameter and no field of a dataclass can have this name.
ARGUMENTS = "$arguments"

#: How such an input begins, from whoever it comes; and the first characters of all that may be one: a glance rules out others.
_MARKED = re.compile(rf'\{{\s*"{re.escape(ARGUMENTS)}"\s*:')
_MAY_BE_MARKED = "{" + PICKLED[0]

_NO_KEYWORDS: Mapping[str, object] = {}

A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True, default=Any)


class InvalidArguments(PayloadError, TypeError):
    """The arguments of a call do not fit the function's parameters; the message names function and parameter."""


@dataclass(frozen=True, slots=True, repr=False)
class BoundCall(Generic[R_co]):
    """A definition with the arguments of one call, made by its `bind`."""

    definition: Any
    #: The arguments, as the one input that they are stored as.
    input: object

    def __repr__(self) -> str:
        return f"<{self.definition!r} with {self.input!r}>"


class BoundActivity(BoundCall[R_co]):
    """An activity with its arguments, for `call_activity`."""

    __slots__ = ()


class BoundOrchestrator(BoundCall[R_co]):
    """An orchestrator with its arguments, for `call_sub_orchestrator`, `start_new` and wherever else one is started."""

    __slots__ = ()


class OrchestratorWithInput(Protocol[A_contra, R_co]):
    """To type checkers: an orchestrator that one input can start."""

    def bind(self, input_: A_contra, /) -> BoundOrchestrator[R_co]:
        """With its input."""


class OrchestratorWithoutInput(Protocol[R_co]):
    """To type checkers: an orchestrator that can be started without an input."""

    def bind(self) -> BoundOrchestrator[R_co]:
        """Without one."""


class ActivityWithInput(Protocol[A_contra, R_co]):
    """To type checkers: an activity that one input can call."""

    def bind(self, input_: A_contra, /) -> BoundActivity[R_co]:
        """With its input."""


class ActivityWithoutInput(Protocol[R_co]):
    """To type checkers: an activity that can be called without an input."""

    def bind(self) -> BoundActivity[R_co]:
        """Without one."""


class Codec(Protocol):
    """Payloads to values and back."""

    def encode(self, value: object) -> Payload:
        """`value` as a payload."""

    def decode(self, payload: Payload | None, hint: object = None) -> Any:
        """The value, as a `hint` if one is given."""


class Called(Protocol):
    """What has to be known of a function that is called with a payload."""

    @property
    def title(self) -> str:
        """How messages name it."""

    @property
    def shape(self) -> Shape:
        """How one input calls it."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All its parameters but the context, if they are more than one input."""

    @property
    def input_hint(self) -> Any:
        """The type of its input."""

    @property
    def parameter_hints(self) -> Mapping[str, Any]:
        """The types of its parameters, if they are more than one input."""


def bound_input(called: Called, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
    """The input that says these arguments.

    Raises:
        InvalidArguments: the function cannot be called so.
    """
    shape = called.shape
    try:
        given = _signature(_all_parameters(called)).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise InvalidArguments(f"{called.title}: {error}") from None
    if not given:
        return None
    if given.keys() == {shape.input_name}:
        (value,) = given.values()
        # As an input, None leaves a parameter's own default; and what looks like arguments would be taken for some.
        if (value is not None or shape.input_required) and not _is_marked(value):
            return value
    return {ARGUMENTS: dict(given)}


def call_arguments(
    called: Called, context: object, payload: Payload | None, codec: Codec
) -> tuple[tuple[object, ...], Mapping[str, object]]:
    """The positional and keyword arguments by which a payload calls a function.

    Raises:
        InvalidArguments: they are by name and do not fit the function's parameters.
        PayloadError: the payload cannot be read, or does not fit the type of the one input.
    """
    shape = called.shape
    if payload is not None and shape.input_name is not None and payload[:1] not in _MAY_BE_MARKED:
        # Nearly all calls of a hub's hottest path.
        return shape.arguments(context, codec.decode(payload, called.input_hint)), _NO_KEYWORDS
    by_name_only = shape.input_name is None and bool(called.parameters)
    if payload is not None and payload[:1] in _MAY_BE_MARKED:
        if payload.startswith(PICKLED):
            value = codec.decode(payload)
            if _is_marked(value) or by_name_only:
                given = value[ARGUMENTS] if _is_marked(value) else value
                return _by_name(called, context, given, None)
            return shape.arguments(context, value), _NO_KEYWORDS
        if _MARKED.match(payload):
            value = codec.decode(payload)
            if not _is_marked(value):
                raise InvalidArguments(f"{called.title}: beside {ARGUMENTS!r} an input has no other keys")
            return _by_name(called, context, value[ARGUMENTS], codec)
    if by_name_only:
        return _by_name(called, context, {} if payload is None else codec.decode(payload), codec)
    value = None if payload is None or shape.input_name is None else codec.decode(payload, called.input_hint)
    return shape.arguments(context, value), _NO_KEYWORDS


def check_arguments(called: Called, payload: Payload | None, codec: Codec) -> None:
    """Read arguments by name before they are sent. What one input says is for the function's own process to read.

    Raises:
        InvalidArguments: they do not fit the function's parameters.
    """
    if called.parameters and (called.shape.input_name is None or _MARKED.match(payload or "")):
        call_arguments(called, None, payload, codec)


def input_value(payload: Payload, hint: Any, codec: Codec) -> Any:
    """The value of an input as its type; of arguments, their plain values by name."""
    if _MARKED.match(payload):
        return codec.decode(payload)[ARGUMENTS]
    value = codec.decode(payload, hint)
    return value[ARGUMENTS] if _is_marked(value) else value


def _is_marked(value: object) -> bool:
    return type(value) is dict and value.keys() == {ARGUMENTS}


def _all_parameters(called: Called) -> tuple[Parameter, ...]:
    shape = called.shape
    if called.parameters or shape.input_name is None:
        return called.parameters
    return (Parameter(shape.input_name, "POSITIONAL_OR_KEYWORD", shape.input_required),)


def _by_name(
    called: Called, context: object, given: object, codec: Codec | None
) -> tuple[tuple[object, ...], Mapping[str, object]]:
    """The arguments of a call by name. Without a codec the values are what they are."""
    parameters = _all_parameters(called)
    names = ", ".join(parameter.name for parameter in parameters) or "none"
    if not isinstance(given, dict):
        raise InvalidArguments(
            f"{called.title} takes its arguments by name: an object with its parameters ({names}) as keys, not {given!r:.80}"
        )
    for name in given.keys() - {parameter.name for parameter in parameters}:
        raise InvalidArguments(f"{called.title} has no parameter {name!r}; its parameters: {names}")
    for parameter in parameters:
        if parameter.required and parameter.name not in given:
            raise InvalidArguments(f"{called.title} is called without {parameter.name!r}; its parameters: {names}")
    values = {p.name: _value(called, p, given[p.name], codec) for p in parameters if p.name in given}
    bound = inspect.BoundArguments(_signature(parameters), values)
    head = (context,) if called.shape.takes_context else ()
    return (*head, *bound.args), bound.kwargs


def _value(called: Called, parameter: Parameter, value: Any, codec: Codec | None) -> Any:
    name, kind = parameter.name, parameter.kind
    many = {"VAR_POSITIONAL": list, "VAR_KEYWORD": dict}.get(kind)
    if codec is None:
        return value
    if many is not None and type(value) is not many:
        what = "a list" if many is list else "an object"
        raise InvalidArguments(f"parameter {name!r} of {called.title} takes {what}, not {value!r:.80}")
    hint = called.input_hint if name == called.shape.input_name else called.parameter_hints.get(name)
    if hint is None or type(value) is hint:
        return value
    if many is not None:
        hint = GenericAlias(many, hint if many is list else (str, hint))
    try:
        return codec.decode(codec.encode(value), hint)
    except PayloadTypeError as error:
        raise InvalidArguments(f"parameter {name!r} of {called.title}: {error}") from error


@lru_cache(maxsize=1024)
def _signature(parameters: tuple[Parameter, ...]) -> inspect.Signature:
    """For binding only: that a parameter has a default matters, not which."""
    return inspect.Signature(
        [
            inspect.Parameter(
                parameter.name,
                getattr(inspect.Parameter, parameter.kind),
                default=inspect.Parameter.empty if parameter.required or parameter.kind.startswith("VAR") else None,
            )
            for parameter in parameters
        ]
    )
