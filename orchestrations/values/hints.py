"""Values read by their type hints, with pydantic. Imported when the first hint asks for it: plain values are read without."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypeAliasType

#: What `adapter` raises for a hint that is no type that pydantic can build.
UNBUILDABLE = (PydanticUserError, NameError, TypeError)

#: What an adapter raises for a value that does not fit.
Unfit = ValidationError

_CONFIG = ConfigDict(val_json_bytes="base64", arbitrary_types_allowed=True)


def adapter(hint: Any) -> TypeAdapter[Any]:
    """What reads values of this type. Raises one of `UNBUILDABLE`."""
    try:
        hash(hint)
    except TypeError:  # Annotated with something unhashable
        return _new_adapter(hint)
    return _cached_adapter(hint)


@lru_cache(maxsize=1024)
def _cached_adapter(hint: Any) -> TypeAdapter[Any]:
    return _new_adapter(hint)


def _new_adapter(hint: Any) -> TypeAdapter[Any]:
    if hasattr(hint, "__pydantic_config__") or hasattr(hint, "model_config"):
        return _complete(TypeAdapter(hint))
    # pydantic refuses a config beside a bare dataclass or TypedDict but hands it down to one inside
    # something else; under an alias, bytes are read as base64 at every depth, as they are written.
    nested: Any = TypeAliasType("Hint", hint)
    return _complete(TypeAdapter(nested, config=_CONFIG))


def _complete(made: TypeAdapter[Any]) -> TypeAdapter[Any]:
    if not made.pydantic_complete:
        made.rebuild()  # raises what the constructor put off: a name in the hint that nothing defines
    return made


def reasons(error: ValidationError) -> str:
    """What does not fit, and where, in one line."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    places = ("".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in e["loc"]) for e in found[:3])
    texts = [f"at ${place}: {e['msg']}" for place, e in zip(places, found, strict=False)]
    return "; ".join(texts) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
