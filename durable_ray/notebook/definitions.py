"""An orchestrator or activity as HTML: its signature, what it was declared with, and what it is for."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from durable_ray.notebook.markup import box, cut, muted, pairs, text, title
from durable_ray.orchestrations.authoring.definitions import Definition
from durable_ray.orchestrations.values.showing import short_repr

#: Said in the first line already.
_SAID = ("name", "version")
#: May hold keys in environment variables: only its parts are named.
_CLOSED = ("runtime_env",)


def definition_html(definition: Definition[..., Any, Any]) -> str:
    """A definition as HTML."""
    version = muted(f"version {text(definition.version)}") if definition.version else ""
    by_name = muted("(by name: its code is elsewhere)") if definition.is_reference else ""
    lines = (definition.__doc__ or "").strip().splitlines()
    return box(
        title(f"<b>{definition.kind}</b>", f"<code>{text(signature_of(definition))}</code>", version, by_name),
        f"<div>{text(lines[0])}</div>" if lines else "",
        pairs([("options", text(options_of(definition)))]),
    )


def signature_of(definition: Definition[..., Any, Any]) -> str:
    """Its name with the parameters of the function."""
    if definition.fn is None:
        return definition.name
    return f"{definition.name}{inspect.signature(definition.fn)}"


def options_of(definition: Definition[..., Any, Any]) -> str:
    """What was declared beside the defaults."""
    said = []
    for field in dataclasses.fields(definition.options):
        value = getattr(definition.options, field.name)
        if field.name not in _SAID and value not in (_default(field), None, (), {}):
            shown = f"<{', '.join(value)}>" if field.name in _CLOSED and isinstance(value, dict) else short_repr(value)
            said.append(f"{field.name}={cut(shown, 100)}")
    return ", ".join(said)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
