"""How values show themselves in notebooks and in text: bounded, whatever they hold.

HTML is made by the public package, which imports this room and not the other way round; so it leaves its renderer here.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

#: Characters of one value in the text form of what holds it.
_LONGEST = 120

_render: Callable[[Any], str | None] = lambda _: None  # noqa: E731 - until there is another


def render_with(render: Callable[[Any], str | None]) -> None:
    """From now on, HTML of values is made by this."""
    global _render
    _render = render


def html_of(value: Any) -> str | None:
    """A value as HTML; None: there is none, and notebooks show its text."""
    return _render(value)


class _Short(reprlib.Repr):
    """A value in text: some of many, and of each the beginning and the end."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _LONGEST
        self.maxlevel, self.maxdict = 3, 6


_short = _Short()


def short_repr(value: Any) -> str:
    """The `repr` of a value, cut where it gets long; never raises.

    Example:
        >>> short_repr(list(range(1000)))
        '[0, 1, 2, 3, 4, 5, ...]'
    """
    try:
        text = _short.repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= 2 * _LONGEST else f"{text[:_LONGEST]}...{text[-_LONGEST:]}"


def struct_repr(value: Any) -> str:
    """The text of a Struct: the fields that say something, each of bounded length."""
    from msgspec import NODEFAULT  # this module is imported with the package, which must cost nothing
    from msgspec.structs import fields

    said = [
        f"{field.name}={short_repr(getattr(value, field.name))}"
        for field in fields(type(value))
        if field.default is NODEFAULT or getattr(value, field.name) != field.default
        if field.default_factory is NODEFAULT or getattr(value, field.name)
    ]
    return f"{type(value).__name__}({', '.join(said)})"
