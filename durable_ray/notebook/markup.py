"""The pieces of which all HTML here is made. What comes from users is escaped and cut; colours suit light and dark pages."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from durable_ray.orchestrations.values.showing import short_repr

#: Longest text of one value, and the longest of a traceback, in characters.
MAX_VALUE, MAX_TRACE = 300, 4000

#: The colour of each status, as a CSS colour that is legible on white and on black.
COLOURS = {
    "Pending": "#b7791f",
    "Running": "#2b7de9",
    "Suspended": "#a03bbd",
    "Completed": "#2a9d4a",
    "Failed": "#d63a3a",
    "Terminated": "#7a7f87",
}
_MUTED = "opacity:.65"


def text(value: object, most: int = MAX_VALUE) -> str:
    """Text for people, escaped, cut in the middle where it is longer than `most` characters.

    Example:
        >>> text("a < b")
        'a &lt; b'
    """
    return html.escape(cut(str(value), most))


def cut(said: str, most: int) -> str:
    """The beginning and the end of a text that is too long."""
    if len(said) <= most:
        return said
    return f"{said[: most * 2 // 3]} … {said[len(said) - most // 3 :]}"


def payload(value: Any) -> str:
    """A JSON value, escaped and cut; what is none is shown by its `repr`."""
    try:
        said = json.dumps(value, ensure_ascii=False) if _is_small(value) else short_repr(value)
    except (TypeError, ValueError):
        said = short_repr(value)
    return f"<code>{text(said)}</code>"


def _is_small(value: Any) -> bool:
    """Whether it is quickly written: whoever shows megabytes of input wants to see that they are there, not to wait."""
    if isinstance(value, str):
        return len(value) <= 10_000
    return not isinstance(value, dict | list | tuple) or (len(value) <= 50 and all(map(_is_flat, _members(value))))


def _members(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _is_flat(value: Any) -> bool:
    return len(value) <= 50 if isinstance(value, dict | list | tuple) else _is_small(value)


def badge(status: str) -> str:
    """A status in its colour."""
    colour = COLOURS.get(status, "#7a7f87")
    style = f"background:{colour};color:#fff;border-radius:9px;padding:1px 8px;font-size:85%;white-space:nowrap"
    return f'<span style="{style}">{text(status)}</span>'


def muted(said: str) -> str:
    """Less important HTML."""
    return f'<span style="{_MUTED}">{said}</span>'


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values (HTML), a row each; empty values are left out."""
    cell = 'style="text-align:left;vertical-align:top;padding:1px 12px 1px 0"'
    made = "".join(
        f"<tr><td {cell}>{muted(text(name))}</td><td {cell}>{value}</td></tr>" for name, value in rows if value
    )
    return f'<table style="border:none">{made}</table>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are HTML."""
    cell = 'style="text-align:left;padding:2px 12px 2px 0"'
    head = "".join(f"<th {cell}>{text(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td {cell}>{value}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def folded(title: str, inside: str) -> str:
    """HTML that is shown by a click on its title."""
    return f"<details><summary>{text(title)}</summary>{inside}</details>"


def box(*parts: str) -> str:
    """What belongs together."""
    style = "border-left:3px solid #8884;padding:2px 0 2px 10px;margin:2px 0"
    return f'<div style="{style}">{"".join(parts)}</div>'


def title(*parts: str) -> str:
    """The first line."""
    return f'<div style="margin:2px 0">{" ".join(part for part in parts if part)}</div>'


def when(at: datetime | None) -> str:
    """A time to the second.

    Example:
        >>> when(datetime(2030, 1, 31, 9, tzinfo=UTC))
        '2030-01-31 09:00:00Z'
    """
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def lasting(span: timedelta) -> str:
    """How long something takes, with the two largest units.

    Example:
        >>> lasting(timedelta(hours=25)), lasting(timedelta(milliseconds=1500))
        ('1 d 1 h', '1.5 s')
    """
    seconds = max(0.0, span.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds) // 60
    for size, unit, smaller, name in ((1440, "d", 60, "h"), (60, "h", 1, "min")):
        if minutes >= size:
            rest = minutes % size // smaller
            return f"{minutes // size} {unit}{f' {rest} {name}' if rest else ''}"
    return f"{minutes} min{f' {int(seconds) % 60} s' if int(seconds) % 60 else ''}"
