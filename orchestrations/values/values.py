"""Values that users may meet: Structs, which to JSON and to pydantic look like the dataclasses they could be.

A process defines a Struct fifteen times as fast as a dataclass, makes and pickles one several times as fast, and the
runtime makes little else. But only dataclasses are known to pydantic, in whose hands a value comes whenever an activity
returns one or a web framework answers one, and to whom else users may give it. Who asks for one is shown one, with the same
fields and made when it is asked for (`_twin`).

Options, signatures and retry policies are dataclasses all the same: they rest in the store, in pickles of users' code,
and no Struct can be loaded from what an older release pickled as a dataclass.
"""

from __future__ import annotations

import copy
import dataclasses
import typing
from functools import cache
from typing import Any, ClassVar

from msgspec import NODEFAULT, Struct
from msgspec.structs import asdict
from msgspec.structs import fields as fields_of
from pydantic_core import CoreSchema, PydanticSerializationUnexpectedValue, core_schema


class _Fields:
    """What makes a class a dataclass to `dataclasses` and to all who ask like it."""

    def __get__(self, value: Value | None, kind: type[Value]) -> Any:
        return _fields(kind)


class Value(Struct, frozen=True):
    """Base of the values that users may meet.

    Example:
        >>> class Point(Value, frozen=True):
        ...     x: int
        ...     y: int = 0
        >>> dataclasses.asdict(Point(1))
        {'x': 1, 'y': 0}
    """

    __dataclass_fields__: ClassVar[Any] = _Fields()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        twin = _twin(cls)
        fields: CoreSchema = handler.generate_schema(twin)

        def validated(value: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return value if isinstance(value, cls) else cls(**_shallow(validate(value)))

        def written(value: Any) -> Any:
            if not isinstance(value, cls):
                # One of a union, perhaps: the next may fit.
                raise PydanticSerializationUnexpectedValue(f"{value!r} is no {cls.__name__}")
            return twin(**asdict(value))

        return core_schema.no_info_wrap_validator_function(
            validated,
            fields,
            serialization=core_schema.plain_serializer_function_ser_schema(written, return_schema=fields),
        )


def _shallow(twin: Any) -> dict[str, Any]:
    return {field.name: getattr(twin, field.name) for field in dataclasses.fields(twin)}


@cache
def _fields(kind: type[Value]) -> dict[str, dataclasses.Field[Any]]:
    """The twin's fields, with the types as written in the source, as `dataclasses` reports them."""
    fields = {field.name: copy.copy(field) for field in dataclasses.fields(_twin(kind))}
    for name, field in fields.items():
        field.type = kind.__annotations__[name]
    return fields


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
