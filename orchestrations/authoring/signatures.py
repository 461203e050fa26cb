"""Signatures of activities and orchestrators: whether a function takes its context, whether one input can call it,
which parameters it has, of which types.

Read once when the function is decorated (shape) and once when first needed (types, which may name classes
that are defined further down the file). Type hints that cannot be resolved count as absent, and are said: at decoration,
or, where something may still be defined, when they are first needed (`hint_checks.py`).
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import typing_extensions

#: An activity's first parameter is its context if it is annotated with a class of this name.
ACTIVITY_CONTEXT = "ActivityContext"

_GENERATORS = (collections.abc.Generator, collections.abc.Iterator, collections.abc.Iterable)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Shape:
    """How to call a function with one input: `(context?, input?)`. `input_name` is None where it takes none."""

    takes_context: bool
    input_name: str | None
    input_required: bool

    def arguments(self, context: object, value: object) -> tuple[object, ...]:
        """The positional arguments of the call; an input of None leaves a parameter's own default."""
        head = (context,) if self.takes_context else ()
        if self.input_name is None or (value is None and not self.input_required):
            return head
        return (*head, value)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function that has more than an input. `kind` is a name of `inspect`'s: `KEYWORD_ONLY`, ..."""

    name: str
    kind: str
    required: bool


@dataclass(frozen=True, slots=True)
class Hints:
    """Type hints of input and output; None without a hint (or with `Any`), `NoneType` for a hint of None."""

    input: Any = None
    output: Any = None


def activity_shape(fn: Callable[..., object]) -> Shape:
    """Read the shape of an activity: an optional `ActivityContext`, then its parameters."""
    parameters = _parameters(fn)
    takes_context = bool(parameters) and _is_activity_context(fn, parameters[0])
    return _shape(parameters[1:] if takes_context else parameters, takes_context)


def orchestrator_shape(fn: Callable[..., object]) -> Shape:
    """Read the shape of an orchestrator: its context, then its parameters.

    Raises:
        TypeError: the context is missing.
    """
    parameters = _parameters(fn)
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise TypeError(f"{_called(fn)} must take its context first: def {fn.__name__}(ctx, input)")
    return _shape(parameters[1:], takes_context=True)


def several_parameters(fn: Callable[..., object], shape: Shape) -> tuple[Parameter, ...]:
    """All parameters but the context, if they are more than the one that takes an input; else none."""
    rest = _parameters(fn)[int(shape.takes_context) :]
    if len(rest) < 2 and all(parameter.kind in _POSITIONAL for parameter in rest):
        return ()
    return tuple(Parameter(p.name, p.kind.name, p in _required(rest)) for p in rest)


def read_hints(fn: Callable[..., object], shape: Shape, names: Mapping[str, Any] | None = None) -> Hints:
    """Resolve the types of input and output; what cannot be resolved is absent (`hint_checks.py` reports it).

    `names`: what is defined around the function, besides in its module.
    """
    found = resolved_annotations(inspect.unwrap(fn), names)
    output = found.get("return")
    if inspect.isgeneratorfunction(inspect.unwrap(fn)):
        output = _returned_by_generator(output)
    return Hints(_said(found.get(shape.input_name or "")), _said(output))


def read_parameter_hints(
    fn: Callable[..., object], parameters: tuple[Parameter, ...], names: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The same of all parameters; those without a type are left out."""
    found = resolved_annotations(inspect.unwrap(fn), names) if parameters else {}
    said = {parameter.name: _said(found.get(parameter.name)) for parameter in parameters}
    return {name: hint for name, hint in said.items() if hint is not None}


def resolved_annotations(owner: Any, names: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The own annotations of a function or class with names replaced by what they name; unresolved ones
    stay text.

    Example:
        >>> def f(a: int, b: Missing) -> str: ...
        >>> resolved_annotations(f)
        {'a': <class 'int'>, 'b': 'Missing', 'return': <class 'str'>}
    """
    if getattr(owner, "__pydantic_complete__", True) is False:
        # A model whose fields name classes that came after it: they may be there now.
        owner.model_rebuild(raise_errors=False)
    try:
        own = inspect.get_annotations(owner)
    except Exception:  # lazily evaluated annotations that name something unknown
        return {}
    try:
        resolved = typing.get_type_hints(owner, localns=_local(names), include_extras=True)
    except Exception:
        resolved = {name: _resolved_alone(owner, text, names) for name, text in own.items()}
    return {name: resolved.get(name, raw) for name, raw in own.items()}


def bare_hint(hint: Any) -> Any:
    """The type of a TypedDict's key without the mark that says whether the key is required."""
    while typing_extensions.get_origin(hint) in (typing_extensions.Required, typing_extensions.NotRequired):
        hint = typing_extensions.get_args(hint)[0]
    return hint


def _local(names: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return dict(names) if names else None


def _resolved_alone(owner: Any, annotation: Any, names: Mapping[str, Any] | None) -> Any:
    """One annotation resolved without its neighbours, so that a bad one spoils no good one."""
    probe = type("_Probe", (), {"__annotations__": {"it": annotation}, "__module__": owner.__module__})
    space = getattr(owner, "__globals__", None)
    try:
        return typing.get_type_hints(probe, globalns=space, localns=_local(names), include_extras=True)["it"]
    except Exception:
        return annotation


def _parameters(fn: Callable[..., object]) -> list[inspect.Parameter]:
    return list(inspect.signature(fn).parameters.values())


def _required(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    return [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _shape(rest: list[inspect.Parameter], takes_context: bool) -> Shape:
    required = _required(rest)
    positional = [p for p in rest if p.kind in _POSITIONAL]
    if not positional or len(required) > 1 or any(p.kind is p.KEYWORD_ONLY for p in required):
        return Shape(takes_context, None, False)
    return Shape(takes_context, positional[0].name, positional[0].default is inspect.Parameter.empty)


def _is_activity_context(fn: Callable[..., object], parameter: inspect.Parameter) -> bool:
    if parameter.annotation is parameter.empty or parameter.kind not in _POSITIONAL:
        return False
    hint = resolved_annotations(inspect.unwrap(fn)).get(parameter.name, parameter.annotation)
    if isinstance(hint, type):
        return any(base.__name__ == ACTIVITY_CONTEXT for base in hint.__mro__)
    return isinstance(hint, str) and hint.rpartition(".")[2] == ACTIVITY_CONTEXT


def _returned_by_generator(hint: Any) -> Any:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is _GENERATORS[0] and len(arguments) == 3:
        return arguments[2]
    return None if hint in _GENERATORS or typing.get_origin(hint) in _GENERATORS else hint


def _said(hint: Any) -> Any:
    return None if hint is Any or hint is object or isinstance(hint, str) else hint


def _called(fn: Callable[..., object]) -> str:
    return f"{fn.__module__}.{fn.__qualname__}"
