"""Values that users may meet: Structs, which to JSON and to pydantic look like the dataclasses they could be.

A process defines a Struct fifteen times as fast as a dataclass, makes and pickles one several times as fast, and the
runtime makes little else. But only dataclasses are known to pydantic, in whose hands a value comes whenever an activity
returns one or a web framework answers one. So it is shown a dataclass with the same fields (`_twin`), made when it asks.

Options, signatures and retry policies are dataclasses all the same: they rest in the store, in pickles of users' code,
and no Struct can be loaded from what an older release pickled as a dataclass.
"""

from __future__ import annotations

import dataclasses
import typing
from functools import cache
from typing import Any

from msgspec import NODEFAULT, Struct
from msgspec.structs import asdict
from msgspec.structs import fields as fields_of
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Value(Struct, frozen=True):
    """Base of the values that users may meet.

    Example:
        >>> class Point(Value, frozen=True):
        ...     x: int
        ...     y: int = 0
        >>> as_dict(Point(1))
        {'x': 1, 'y': 0}
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        twin = _twin(cls)
        fields = handler.generate_schema(twin)

        def validated(value: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return value if isinstance(value, cls) else cls(**_shallow(validate(value)))

        def written(value: Value) -> Any:
            return twin(**asdict(value))

        return core_schema.no_info_wrap_validator_function(
            validated,
            fields,
            serialization=core_schema.plain_serializer_function_ser_schema(written, return_schema=fields),
        )


def as_dict(value: Value) -> dict[str, Any]:
    """The fields of `value` by name and in order; values inside of it become dicts too.

    Example:
        >>> class Line(Value, frozen=True):
        ...     ends: tuple[Value, ...]
        >>> as_dict(Line((Line(()),)))
        {'ends': ({'ends': ()},)}
    """
    return {name: opened_value(inner) for name, inner in asdict(value).items()}


def opened_value(value: Any) -> Any:
    """`value`, or a dict of its fields if it is one of ours or a dataclass; the same for what a list or tuple holds."""
    if isinstance(value, Value):
        return as_dict(value)
    if type(value) in (list, tuple):
        return type(value)(map(opened_value, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


def _shallow(twin: Any) -> dict[str, Any]:
    return {field.name: getattr(twin, field.name) for field in dataclasses.fields(twin)}


@cache
def _twin(kind: type[Value]) -> Any:
    """A dataclass with the fields of `kind`."""
    hints = typing.get_type_hints(kind)
    made = []
    for field in fields_of(kind):
        if field.default is not NODEFAULT:
            rule: Any = dataclasses.field(default=field.default)
        elif field.default_factory is not NODEFAULT:
            rule = dataclasses.field(default_factory=field.default_factory)
        else:
            rule = dataclasses.field()
        made.append((field.name, hints[field.name], rule))
    twin = dataclasses.make_dataclass(kind.__name__, made, frozen=True)
    twin.__doc__, twin.__module__ = kind.__doc__, kind.__module__
    return twin
