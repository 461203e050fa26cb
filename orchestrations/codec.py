"""Events as text, for the store and the wire.

One document is ``{"v":1,"e":[{"t":"TimerFired","task_id":2},...]}``; a single event is
``{"v":1,"t":"TimerFired",...}``. Fields that have their default are left out, so a field that is added later
costs older histories nothing.

What may be read, in years to come:
- an older history: what it does not say has its default;
- a field this release does not know: it is ignored, as a newer release added it with a default;
- an event or a document version this release does not know: refused, naming the upgrade. To skip an event
  would be to replay something that did not happen.

The table of fields is read off the dataclasses once, at import; a test pins the text of every kind of event.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import from_json, to_json

from durable_ray.orchestrations.events import Event
from durable_ray.orchestrations.failures import FailureDetails, OrchestrationError
from durable_ray.orchestrations.retries import RetryPolicy

#: Raised only when older releases could no longer read what this one writes; a new field is no reason.
VERSION = 1


class UnreadableHistory(OrchestrationError):
    """The text is no history, or that of a newer release; the message says which."""


def encode_events(events: Iterable[Event]) -> str:
    """The text of one turn's events.

    Example:
        >>> from durable_ray.orchestrations.events import TimerFired
        >>> encode_events([TimerFired(2)])
        '{"v":1,"e":[{"t":"TimerFired","task_id":2}]}'
    """
    return _text({"v": VERSION, "e": [_said(event) for event in events]})


def decode_events(text: str | bytes) -> list[Event]:
    """The events of a text that `encode_events` of this or another release wrote.

    Raises:
        UnreadableHistory: it is damaged, or a newer release wrote something that this one cannot know.
    """
    document = _document(text)
    events = document.get("e")
    if not isinstance(events, list):
        raise UnreadableHistory("the history is damaged: a document without its list of events")
    return [_event(said) for said in events]


def encode_event(event: Event) -> str:
    """The text of a single event, as it travels in a message."""
    return _text({"v": VERSION, **_said(event)})


def decode_event(text: str | bytes) -> Event:
    """The event of a text that `encode_event` wrote.

    Raises:
        UnreadableHistory: as `decode_events`.
    """
    return _event(_document(text))


# --- documents ---


def _text(document: dict[str, Any]) -> str:
    try:
        return to_json(document).decode()
    except ValueError:
        # A lone surrogate (in a message that quotes a file name, say) is no UTF-8, but JSON can escape it.
        return json.dumps(document, separators=(",", ":"))


def _document(text: str | bytes) -> dict[str, Any]:
    try:
        # Never cached: a history says few things twice, and the cache is process-wide.
        document = from_json(text, cache_strings="keys")
    except ValueError:
        try:
            document = json.loads(text)
        except ValueError as error:
            raise UnreadableHistory(f"the history is damaged: it is no JSON ({error})") from None
    if not isinstance(document, dict) or not isinstance(document.get("v"), int):
        raise UnreadableHistory("the history is damaged: a document without a version")
    if document["v"] > VERSION:
        raise UnreadableHistory(
            f"the history has the format {document['v']}, this release of durable_ray reads up to {VERSION}: "
            "a newer release wrote it. Upgrade durable_ray in this process to at least that release"
        )
    return document


def _event(said: Any) -> Event:
    kind = said.get("t") if isinstance(said, dict) else None
    form = _EVENTS.get(kind) if isinstance(kind, str) else None
    if form is None:
        raise UnreadableHistory(
            f"the history has an event of the kind {kind!r}, which this durable_ray does not know: "
            "a newer release wrote it. Upgrade durable_ray in this process to at least that release"
        )
    del said["t"]
    said.pop("v", None)
    return form.read(said)  # type: ignore[no-any-return]


def _said(event: Event) -> dict[str, Any]:
    form = _EVENTS[type(event).__name__]
    return form.write(event, {"t": form.name})


# --- the table of fields ---

_Convert = Callable[[Any], Any]
_MISSING: Any = dataclasses.MISSING


class _Form:
    """How one dataclass is written and read."""

    __slots__ = ("_fields", "_nested", "_readers", "kind", "name")

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.name = kind.__name__
        hints = typing.get_type_hints(kind)
        fields = dataclasses.fields(kind)
        taken = {"t", "v"} & {field.name for field in fields}
        assert not taken, f"{self.name} has a field whose name the format needs: {taken}"
        #: name, default; in the order of the dataclass.
        self._fields: tuple[tuple[str, Any], ...] = tuple((field.name, field.default) for field in fields)
        self._nested: dict[str, _Convert] = {}
        self._readers: dict[str, _Convert] = {}
        for field in fields:
            inner = _inner(hints[field.name])
            if isinstance(inner, type) and dataclasses.is_dataclass(inner):
                form = self if inner is kind else _form(inner)
                self._nested[field.name] = form.written
                self._readers[field.name] = form.read
            elif inner is tuple:
                self._readers[field.name] = tuple

    def write(self, value: Any, into: dict[str, Any]) -> dict[str, Any]:
        """The fields of `value` that do not have their defaults, added to `into`."""
        nested = self._nested
        for name, default in self._fields:
            field = getattr(value, name)
            if field is default or field == default:
                continue
            into[name] = nested[name](field) if name in nested and field is not None else field
        return into

    def written(self, value: Any) -> dict[str, Any]:
        return self.write(value, {})

    def read(self, said: dict[str, Any]) -> Any:
        """The value of which `said` gives the fields. Uses `said` up."""
        try:
            for name, convert in self._readers.items():
                value = said.get(name)
                if value is not None:
                    said[name] = convert(value)
            try:
                return self._build(said)
            except TypeError:
                # A field of a newer release, most likely; if one is missing instead, this fails too.
                known = {name: said[name] for name, _ in self._fields if name in said}
                return self._build(known)
        except (TypeError, AttributeError) as error:
            raise UnreadableHistory(f"the history is damaged: no {self.name} can be read from {said!r}") from error

    def _build(self, known: dict[str, Any]) -> Any:
        return self.kind(**known)


class _PolicyForm(_Form):
    """A retry policy: its constructor takes seconds, its fields are µs."""

    __slots__ = ()

    def _build(self, known: dict[str, Any]) -> RetryPolicy:
        policy = object.__new__(RetryPolicy)
        for name, default in _DEFAULT_POLICY.items():
            object.__setattr__(policy, name, known.get(name, default))
        return policy


_DEFAULT_POLICY = {field.name: getattr(RetryPolicy(), field.name) for field in dataclasses.fields(RetryPolicy)}
_FORMS: dict[type, _Form] = {}


def _form(kind: type[Any]) -> _Form:
    if kind not in _FORMS:
        _FORMS[kind] = (_PolicyForm if kind is RetryPolicy else _Form)(kind)
    return _FORMS[kind]


def _inner(hint: Any) -> Any:
    """What matters of a hint: ``FailureDetails | None`` -> FailureDetails, ``tuple[int, ...]`` -> tuple."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    return typing.get_origin(hint) or hint


_EVENTS: dict[str, _Form] = {kind.__name__: _form(kind) for kind in typing.get_args(Event)}
assert _form(FailureDetails).kind is FailureDetails
