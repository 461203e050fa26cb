"""Validation of type hints at decoration: a hint that cannot be used is refused then, not noticed when a value arrives as
something else.

Names are looked up where the function stands: in its module, its closure and, while they run, in the functions around it.
What a module may still define further down is accepted at decoration, and checked again when the types are first
needed: then it is a warning in the log.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from durable_ray.orchestrations.authoring.signatures import (
    Hints,
    Parameter,
    Shape,
    read_hints,
    read_parameter_hints,
    resolved_annotations,
)

_LOCALS = ".<locals>."
_BUILTINS = (str, int, bool, float, bytes, dict, list, tuple, set, frozenset)
_UNIONS = (typing.Union, types.UnionType)
#: Codes of pydantic's errors about a type whose parts are not all defined.
_UNDEFINED = ("class-not-fully-defined", "undefined-annotation")


def local_hints(
    fn: Callable[..., object], shape: Shape, parameters: tuple[Parameter, ...]
) -> tuple[Hints, dict[str, Any]] | None:
    """The types of a function that is being decorated inside another; None if it stands in a module.

    Raises:
        TypeError: a hint cannot be understood.
    """
    plain = inspect.unwrap(fn)
    local = _LOCALS in plain.__qualname__
    names = _names_around(plain) if local else {}
    for complaint in _complaints(plain, shape, parameters, names, excused=not local):
        raise TypeError(complaint)
    return (read_hints(fn, shape, names), read_parameter_hints(fn, parameters, names)) if local else None


def late_complaints(fn: Callable[..., object], shape: Shape, parameters: tuple[Parameter, ...]) -> Iterator[str]:
    """Errors in the type hints of a function, once its module is complete."""
    return _complaints(inspect.unwrap(fn), shape, parameters, {}, excused=False)


def _complaints(
    fn: Any, shape: Shape, parameters: tuple[Parameter, ...], names: Mapping[str, Any], *, excused: bool
) -> Iterator[str]:
    found = resolved_annotations(fn, names)
    hints = read_hints(fn, shape, names)
    typed = read_parameter_hints(fn, parameters, names)
    inputs: dict[str | None, Any] = {p.name: typed.get(p.name) for p in parameters} or {shape.input_name: hints.input}
    for key, hint in (*inputs.items(), ("return", hints.output)):
        what = f"of the result of {_called(fn)}" if key == "return" else f"of {key!r} of {_called(fn)}"
        said = found.get(key or "")
        if isinstance(said, str):
            if not excused:
                yield (
                    f"the type hint {said!r} {what} names what is not defined there: define or import it before the "
                    "function (and not only under TYPE_CHECKING), or annotate with typing.Any"
                )
        elif (why := _unusable(hint, excused=excused)) is not None:
            yield f"the type hint {_shown(hint)} {what} cannot be used to read values: {why}"


def _unusable(hint: Any, *, excused: bool) -> str | None:
    # pydantic takes long to import, and whoever has plain hints only may never need it.
    if _is_of_builtins(hint):
        return None
    from durable_ray.orchestrations.values.hints import UNBUILDABLE, adapter

    try:
        adapter(hint)
    except UNBUILDABLE as error:
        undefined = isinstance(error, NameError) or getattr(error, "code", None) in _UNDEFINED
        if undefined and excused:
            return None
        why = (str(error).splitlines() or [type(error).__name__])[0]
        return f"{why} (define its types in a module, before the function)" if undefined else why
    return None


def _is_of_builtins(hint: Any) -> bool:
    """Whether nothing but built-in types is in a hint, so that it is understood for sure."""
    if hint is None or hint is ... or hint is Any or hint is type(None):
        return True
    arguments = getattr(hint, "__args__", None)
    if arguments is None:
        return any(hint is plain for plain in _BUILTINS)
    origin = typing.get_origin(hint)
    return (origin in _BUILTINS or origin in _UNIONS) and all(map(_is_of_builtins, arguments))


def _names_around(fn: Any) -> dict[str, Any]:
    """What the functions around `fn` have defined by now, and what `fn` itself remembers of them."""
    names: dict[str, Any] = {}
    parts = fn.__qualname__.split(_LOCALS)
    around = {_LOCALS.join(parts[:end]) for end in range(1, len(parts))}
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is fn.__globals__ and frame.f_code.co_qualname in around:
            names = {**frame.f_locals, **names}
        frame = frame.f_back  # type: ignore[assignment]
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            continue  # defined further down
    return names


def _called(fn: Any) -> str:
    return f"{fn.__module__}.{fn.__qualname__}"


def _shown(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
