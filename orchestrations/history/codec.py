"""Events as text, for the store and the wire.

One document is ``{"v":1,"e":[{"t":"TimerFired","task_id":2},...]}``; a single event is
``{"v":1,"t":"TimerFired",...}``. Fields that have their default are left out, so a field that is added later
costs older histories nothing.

What may be read, in years to come:
- an older history: fields that it lacks have their defaults;
- a field this release does not know: it is ignored, as a newer release added it with a default;
- an event or a document version this release does not know: refused, naming the upgrade. To skip an event
  would be to replay something that did not happen.

What is strict goes through msgspec, which knows the events by their types. What it refuses is read once more, by the
letter (`_read`): text that only Python's parser takes, as histories have it from of old, and errors that say what to do.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import msgspec

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.history.events import Event, ParentAddress
from durable_ray.orchestrations.values.failures import FailureDetails, OrchestrationError

#: Raised only when older releases could no longer read what this one writes; a new field is no reason.
VERSION = 1


class UnreadableHistory(OrchestrationError):
    """The text is no history, or that of a newer release; the message names which."""


class _Document(msgspec.Struct):
    v: int
    e: list[Event]


class _Version(msgspec.Struct):
    v: int


def _exact(value: Any) -> str | int:
    """A text or number of a class derived from those (`numpy.str_`, what a template library calls safe) as what it is."""
    if isinstance(value, str):
        return str.__str__(value)  # `str(value)` may answer itself
    if isinstance(value, int):
        return int.__int__(value)
    raise NotImplementedError(type(value))


_REFUSED = (msgspec.MsgspecError, UnicodeError)
_encode = msgspec.json.Encoder(enc_hook=_exact).encode
_decode_document = msgspec.json.Decoder(_Document).decode
_decode_version = msgspec.json.Decoder(_Version).decode
_decode_event: Callable[[str | bytes], Event] = msgspec.json.Decoder(Event).decode


def encode_events(events: Iterable[Event]) -> str:
    """The text of one turn's events.

    Example:
        >>> from durable_ray.orchestrations.history.events import TimerFired
        >>> encode_events([TimerFired(2)])
        '{"v":1,"e":[{"t":"TimerFired","task_id":2}]}'
    """
    return _text(_Document(VERSION, list(events)))


def decode_events(text: str | bytes) -> list[Event]:
    """The events of a text that `encode_events` of this or another release wrote.

    Raises:
        UnreadableHistory: it is damaged, or a newer release wrote something that this one cannot know.
    """
    try:
        document = _decode_document(text)
    except _REFUSED:
        events = _parsed(text).get("e")
        if not isinstance(events, list):
            raise UnreadableHistory("the history is damaged: a document without its list of events") from None
        return [_event(said) for said in events]
    _check_version(document.v)
    return document.e


def encode_event(event: Event) -> str:
    """The text of a single event, as it travels in a message."""
    return f'{{"v":{VERSION},{_text(event)[1:]}'


def decode_event(text: str | bytes) -> Event:
    """The event of a text that `encode_event` wrote.

    Raises:
        UnreadableHistory: as `decode_events`.
    """
    try:
        version, event = _decode_version(text).v, _decode_event(text)
    except _REFUSED:
        return _event(_parsed(text))
    _check_version(version)
    return event


def _text(value: _Document | Event) -> str:
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        # A lone surrogate (in a message that quotes a file name, say) is no UTF-8, but JSON can escape it.
        return json.dumps(msgspec.to_builtins(value, enc_hook=_exact), separators=(",", ":"))


def _check_version(version: int) -> None:
    if version > VERSION:
        raise UnreadableHistory(
            f"the history has the format {version}, this release of durable_ray reads up to {VERSION}: "
            "a newer release wrote it. Upgrade durable_ray in this process to at least that release"
        )


# --- strict reading ---


def _parsed(text: str | bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UnreadableHistory(f"the history is damaged: it is no JSON ({error})") from None
    if not isinstance(document, dict) or not isinstance(document.get("v"), int):
        raise UnreadableHistory("the history is damaged: a document without a version")
    _check_version(document["v"])
    return document


def _event(said: Any) -> Event:
    name = said.get("t") if isinstance(said, dict) else None
    kind = _EVENTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise UnreadableHistory(
            f"the history has an event of the kind {name!r}, which this durable_ray does not know: "
            "a newer release wrote it. Upgrade durable_ray in this process to at least that release"
        )
    said = {name: value for name, value in said.items() if name not in ("t", "v")}
    return _read(kind, said)  # type: ignore[no-any-return]


def _read(kind: Any, said: Any) -> Any:
    """The value of which `said` gives the fields; those that this release does not know are left out."""
    try:
        known = {
            name: said[name] if convert is None else convert(said[name])
            for name, convert in _readers(kind).items()
            if name in said
        }
        return _policy(known) if kind is RetryPolicy else kind(**known)
    except TypeError as error:
        raise UnreadableHistory(f"the history is damaged: no {kind.__name__} can be read from {said!r}") from error


@cache
def _readers(kind: Any) -> dict[str, Callable[[Any], Any] | None]:
    return {name: _reader(hint) for name, hint in typing.get_type_hints(kind).items()}


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    """How a field of this type is made of what JSON has: ``FailureDetails | None``, ``tuple[int, ...]``."""
    if hint in (int, str):
        # A time that is a text would break the turn that meets it, and not this read. Texts that may be absent were taken as
        # they came by early releases.
        return lambda said: _of(hint, said)
    for part in (hint, *typing.get_args(hint)):
        if part in (FailureDetails, ParentAddress, RetryPolicy):
            return lambda said: None if said is None else _read(part, said)
        if typing.get_origin(part) is tuple:
            return _each(_reader(typing.get_args(part)[0]))
    return None


def _of(kind: type[Any], said: Any) -> Any:
    if type(said) is not kind:
        raise TypeError(f"{said!r} is no {kind.__name__}")
    return said


def _each(read: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return lambda said: None if said is None else tuple(said if read is None else [read(item) for item in said])


def _policy(known: dict[str, Any]) -> RetryPolicy:
    # Past the constructor, which takes seconds where the fields are µs.
    policy = object.__new__(RetryPolicy)
    for field in dataclasses.fields(RetryPolicy):
        object.__setattr__(policy, field.name, known.get(field.name, field.default))
    if policy.backoff_coefficient is None:
        # JSON has no infinity, and msgspec writes null for it.
        object.__setattr__(policy, "backoff_coefficient", math.inf)
    return policy


_EVENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in typing.get_args(Event)}
