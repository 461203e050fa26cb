"""Payloads: inputs, results and events as text, the one form in which they are sent and stored.

A payload is JSON wherever JSON can represent the value, because then every reader (SQL, a browser, another
language) can read it without running anybody's code. What JSON would silently change or cannot represent at all
is handed to a pickler, if the caller has one, and marked with `PICKLED`; else it is refused with the place
and the remedy.

What JSON does to a value, and who repairs it:
- The type hint of the reader brings back models, dataclasses, enums, tuples, sets, bytes, datetimes,
  Decimals, UUIDs ... Without a hint the reader gets plain JSON: dicts, lists (also for tuples and sets),
  text, numbers.
- Keys of a plain dict that are not text would come back as text. No hint is certain to repair that, so such
  a dict counts as something JSON cannot represent. Inside a model or dataclass the field's type repairs it.
- Bytes are base64, infinities and NaN the constants `Infinity` and `NaN`. A pydantic model follows its own
  config instead, in both directions (by default: bytes are UTF-8, and an infinity becomes null).
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from durable_ray.orchestrations.values.unawaited import unawaited

Payload = str

#: What marks a payload that only Python can read. JSON text never begins so.
PICKLED = "pickle:"

#: Larger values belong in a file or an object store, with their address as the payload: each turn that
#: touches a payload moves it through a transaction.
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024

#: How deep lists and objects may nest; the JSON parser behind `decode` stops at the same depth.
MAX_PAYLOAD_DEPTH = 200

#: How many places an error names before it stops looking.
_MAX_OFFENDERS = 20

_ATOMS = frozenset({type(None), bool, int, float, str})
#: Hints that need no conversion: what the JSON parser returns is of these types.
_PLAIN = (None, str, int, bool, float, dict, list, Any)


class PayloadError(Exception):
    """Base of all that can be wrong with a payload."""


class PayloadNotSerializable(PayloadError, TypeError):
    """The value can be neither JSON nor, where allowed, a pickle; the message names the place."""


class PayloadNotReadable(PayloadError):
    """A pickled payload met a reader that has no unpickler, or its bytes no longer load."""


@dataclasses.dataclass(frozen=True)
class UnreadablePayload:
    """Stands in a status for an input, output or custom status that this process cannot read.

    Attributes:
        reason: why: the class of a pickled value cannot be imported here, or what is stored is damaged.
    """

    reason: str


class PayloadTypeError(PayloadError, TypeError):
    """The payload is well-formed but does not fit the type hint of its reader."""


class PayloadTooLarge(PayloadError, ValueError):
    """The payload exceeds `MAX_PAYLOAD_BYTES`."""


class PayloadNotJson(PayloadError, ValueError):
    """Text from outside is not strict JSON, or nests deeper than `MAX_PAYLOAD_DEPTH`."""


def encode(value: object, *, pickler: Callable[[object], bytes] | None = None) -> Payload:
    """Write a value as a payload.

    Args:
        value: anything. None is the JSON ``null``.
        pickler: what to do with a value that JSON cannot represent; None refuses it.

    Returns:
        JSON text, or `PICKLED` and base64.

    Raises:
        PayloadNotSerializable: it can be neither JSON nor a pickle, or it holds a Ray `ObjectRef`.
        PayloadTooLarge: the result exceeds `MAX_PAYLOAD_BYTES`.

    Example:
        >>> encode({"city": "Tokyo", "at": (35.7, 139.7)})
        '{"city":"Tokyo","at":[35.7,139.7]}'
    """
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if _keeps_its_keys(value):
        try:
            raw = to_json(value, bytes_mode="base64", inf_nan_mode="constants")
        except (PydanticSerializationError, ValueError, RecursionError):
            raw = None
        if raw is not None:
            return _within_limit(len(raw), raw).decode()
    return _encode_pickled(value, pickler)


def decode(payload: Payload, hint: Any = None, *, unpickler: Callable[[bytes], object] | None = None) -> Any:
    """Read a payload as the type `hint`.

    Args:
        payload: what `encode` or `from_json_text` returned.
        hint: the type to build, as pydantic understands types; numbers and dates may also stand there as text
            (pydantic's lax mode). None: plain JSON values.
        unpickler: reads pickled payloads. Their values come back as they were; the hint is not applied to
        them.

    Raises:
        PayloadTypeError: the payload does not fit the hint, or the hint is no type that pydantic can build.
        PayloadNotReadable: the payload is pickled and cannot be read here.

    Example:
        >>> decode('["red"]', set[str])
        {'red'}
    """
    if payload.startswith(PICKLED):
        return _decode_pickled(payload, unpickler)
    if hint is None or hint is str or _is_plain(hint):
        # Building and calling a validator costs more than all the rest for the values that are most common.
        try:
            value = from_json(payload)
        except ValueError as error:
            raise PayloadTypeError(f"the payload is not JSON ({error}): {_shown(payload)}") from error
        if hint is None or hint is Any or type(value) is hint:
            return value
    return _decode_by_hint(payload, hint)


def _is_plain(hint: Any) -> bool:
    return any(hint is plain for plain in _PLAIN)


def is_pickled(payload: Payload) -> bool:
    """Whether only Python can read the payload: such a one is never decoded in registry or gateway."""
    return payload.startswith(PICKLED)


def from_json_text(text: str | bytes) -> Payload:
    """Validate text from outside: accepts what is strictly JSON, and nothing else.

    Returns:
        The text without surrounding white space, otherwise unchanged.

    Raises:
        PayloadNotJson: not JSON (also `NaN`, `Infinity`, an empty text, a pickled payload), or nested too
        deep. PayloadTooLarge: more than `MAX_PAYLOAD_BYTES` in UTF-8.

    Example:
        >>> from_json_text(b' {"approved": true} ')
        '{"approved": true}'
    """
    try:
        raw = text.encode() if isinstance(text, str) else text
        raw = _within_limit(len(raw), raw).strip()
        if raw.startswith(PICKLED.encode()):
            raise PayloadNotJson("a pickled payload is not accepted from outside: send JSON")
        from_json(raw, allow_inf_nan=False, cache_strings="none")
        return raw.decode()
    except PayloadError:
        raise
    except ValueError as error:
        raise PayloadNotJson(f"the text is not JSON: {error}") from error


def _keeps_its_keys(value: object, depth: int = 0) -> bool:
    """Whether every plain dict in `value` would get its own keys back, and `decode` could read it at all."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    inner: Collection[object]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return False
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    else:
        return True
    # Most large payloads are flat lists of numbers or text: one pass in C settles those.
    if set(map(type, inner)) <= _ATOMS:
        return depth < MAX_PAYLOAD_DEPTH
    return depth < MAX_PAYLOAD_DEPTH and all(_keeps_its_keys(item, depth + 1) for item in inner)


def _encode_pickled(value: object, pickler: Callable[[object], bytes] | None) -> Payload:
    offenders = list(_offenders(value))
    for path, reason in offenders:
        if reason == _OBJECT_REF or pickler is None:
            raise PayloadNotSerializable(f"{path} cannot be stored: {reason}")
    if pickler is None:
        raise PayloadNotSerializable(
            f"JSON cannot say this {type(value).__name__}: it refers to itself or nests too deep"
        )
    try:
        raw = pickler(value)
    except PayloadError:
        raise
    except BaseException as error:  # what it is made of may be user code
        where = "; ".join(f"{path}: {reason}" for path, reason in offenders[:3]) or _name(type(value))
        raise PayloadNotSerializable(
            f"the value can be written neither as JSON ({where}) nor pickled ({error})"
        ) from error
    return PICKLED + base64.b64encode(_within_limit(len(raw) * 4 // 3 + len(PICKLED), raw)).decode()


def _decode_by_hint(payload: Payload, hint: Any) -> Any:
    # Few processes meet a hint that needs it, and pydantic would be a tenth of what the start of a host costs.
    from durable_ray.orchestrations.values.hints import UNBUILDABLE, Unfit, adapter, reasons

    try:
        reads = adapter(hint)
    except UNBUILDABLE as error:
        raise PayloadTypeError(
            f"no value can be built from the type hint {_name(hint)} ({_first_line(error)}); "
            "annotate with a type that pydantic knows, or with typing.Any"
        ) from error
    try:
        return reads.validate_json(payload)
    except Unfit as error:
        raise PayloadTypeError(f"{_shown(payload)} does not fit {_name(hint)}: {reasons(error)}") from error


def _decode_pickled(payload: Payload, unpickler: Callable[[bytes], object] | None) -> object:
    if unpickler is None:
        raise PayloadNotReadable(
            "the payload is a Python pickle; only Python code that was given the instance can read it"
        )
    try:
        return unpickler(base64.b64decode(payload[len(PICKLED) :], validate=True))
    except binascii.Error as error:
        raise PayloadNotReadable(f"the pickled payload is damaged: {error}") from error
    except BaseException as error:  # what it is made of may be user code
        raise PayloadNotReadable(
            f"the pickled payload does not load here ({type(error).__name__}: {error}); "
            "install what it was made with, or exchange JSON values, dataclasses or pydantic models instead"
        ) from error


_OBJECT_REF = "an ObjectRef dies with its owner; return the value itself, or the URI of where it is stored"
_REMEDY = "return a dataclass, a pydantic model or plain JSON values instead"


def _offenders(root: object) -> Iterator[tuple[str, str]]:
    """Where JSON fails, as (path, reason): walked only once it is known that it does."""
    # The last part of an entry: whether a dataclass's field types repair the keys.
    stack: list[tuple[str, object, tuple[int, ...], bool]] = [("$", root, (), False)]
    found = 0
    while stack and found < _MAX_OFFENDERS:
        path, value, above, typed = stack.pop()
        reason: str | None = None
        if id(value) in above:
            reason = "it contains itself"
        elif len(above) > MAX_PAYLOAD_DEPTH:
            # Each place is told by its path: a walk to any depth would take quadratic time, on the loop of all neighbours.
            reason = f"it nests deeper than {MAX_PAYLOAD_DEPTH} levels"
            path = f"{path[:40]}…"
        elif (parts := _parts(value)) is None:
            reason = _refusal(value)
        else:
            reason = None if typed else _odd_key(value)
            typed = typed or dataclasses.is_dataclass(value)
            stack.extend((path + step, part, (*above, id(value)), typed) for step, part in reversed(parts))
        if reason is not None:
            found += 1
            yield path, reason


def _parts(value: object) -> list[tuple[str, object]] | None:
    """The values inside a container with the step that leads to each; None for a leaf."""
    if isinstance(value, Mapping):
        return [(f".{key}" if isinstance(key, str) else f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f".{field.name}", getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    return None


def _odd_key(value: object) -> str | None:
    odd = next((key for key in value if not isinstance(key, str)), None) if isinstance(value, dict) else None
    return None if odd is None else f"its key {odd!r} is {_name(type(odd))} and would come back as text; use str keys"


def _refusal(value: object) -> str | None:
    kind = type(value)
    if is_object_ref(kind):
        return _OBJECT_REF
    if (forgotten := unawaited(value)) is not None:
        return forgotten
    try:
        to_json(value, bytes_mode="base64", inf_nan_mode="constants")
    except Exception as error:
        return f"{_name(kind)} has no JSON form ({_first_line(error)}); {_REMEDY}"
    return None


def is_object_ref(kind: type) -> bool:
    """Whether `kind` is Ray's reference to an object, recognised by name: this room does not know Ray."""
    return any(
        base.__module__.split(".")[0] == "ray" and base.__name__.endswith(("ObjectRef", "ObjectRefGenerator"))
        for base in kind.__mro__
    )


def object_ref_refusal(path: str = "an ObjectRef") -> PayloadNotSerializable:
    """The error for an `ObjectRef` that turns up where a walk over containers does not reach."""
    return PayloadNotSerializable(f"{path} cannot be stored: {_OBJECT_REF}")


def _within_limit(size: int, raw: bytes) -> bytes:
    if size > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(
            f"a payload has at most {MAX_PAYLOAD_BYTES:,} bytes, this one has {size:,}: "
            "write it to a file or an object store and pass its address"
        )
    return raw


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _name(hint: Any) -> str:
    # list[int] is an instance of type to isinstance, and its __qualname__ would drop the [int].
    plain = isinstance(hint, type) and not hasattr(hint, "__args__")
    return hint.__qualname__ if plain else str(hint)


def _shown(payload: Payload) -> str:
    return payload if len(payload) <= 80 else f"{payload[:77]}..."
