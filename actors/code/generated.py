"""The methods that `dataclasses` generates, for another version of Python: it generates them again.

They have no source. Their code travels as bytecode, and under another version a stand-in takes its place until the class is
whole; then `dataclasses` is asked once more, with what the class remembers of its fields and of the arguments of its decorator.
"""

from __future__ import annotations

import dataclasses
import marshal
from types import CellType, CodeType, FunctionType
from typing import Any

from cloudpickle import cloudpickle

from durable_ray.actors.code.carried_source import PYTHON

#: The file of a stand-in, by which it is known.
_STAND_IN = "<generated anew>"
#: The file of what `dataclasses` generates.
_GENERATED = "<string>"
_DECORATED = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")
_DESCRIBED = ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only")


def generated_by_dataclasses(body: dict[str, Any]) -> list[CodeType]:
    """The code of the methods in a dataclass's dictionary that nobody wrote."""
    found: list[CodeType] = []
    for value in body.values():
        if isinstance(value, FunctionType):
            inside = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
            codes = [
                each.__code__ for each in (value, *inside) if isinstance(each, FunctionType)
            ]  # a repr is in a guard
            if any(code.co_filename == _GENERATED for code in codes):
                found += codes
    return found


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def reduced_generated(code: CodeType) -> tuple[Any, ...]:
    """How the code of such a method is pickled."""
    return _remade, (PYTHON, marshal.dumps(code), code.co_freevars)


def _remade(python: str, bytecode: bytes, freevars: tuple[str, ...]) -> CodeType:
    if python == PYTHON:
        code: CodeType = marshal.loads(bytecode)
        return code
    return _remade.__code__.replace(co_filename=_STAND_IN, co_freevars=freevars)


def set_dataclass_state(kind: type, state: Any) -> type:
    """Make a dataclass whole, as cloudpickle does; its generated methods again, if they are another Python's.

    Raises ImportError for one with slots, whose class `dataclasses` makes twice.
    """
    made: type = cloudpickle._class_setstate(kind, state)
    strangers = [
        name
        for name, value in vars(made).items()
        if isinstance(value, FunctionType) and value.__code__.co_filename == _STAND_IN
    ]
    if strangers:
        _generate_anew(made, strangers)
    return made


def _generate_anew(kind: Any, strangers: list[str]) -> None:
    if "__slots__" in vars(kind):
        raise ImportError(f"the dataclass {kind.__name__!r} has slots, and cannot be made anew for Python {PYTHON}")
    for name in strangers:
        delattr(kind, name)
    for name in vars(kind).get("__annotations__", ()):
        field = kind.__dataclass_fields__.get(name)
        if field is not None and field._field_type is not dataclasses._FIELD_CLASSVAR:  # type: ignore[attr-defined]
            given = {fact: getattr(field, fact) for fact in _DESCRIBED}
            setattr(kind, name, dataclasses.field(**{k: v for k, v in given.items() if v is not dataclasses.MISSING}))
    dataclasses.dataclass(**{name: getattr(kind.__dataclass_params__, name) for name in _DECORATED})(kind)
