"""Parsing the text of filters: times and statuses, for every API and the command line alike.

What cannot be read raises ValueError with the right form. It never counts as left out: a filter with
a part missing matches more, and what it matches may be about to be deleted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from durable_ray.actors.instances.status import RuntimeStatus

_SECOND = timedelta(seconds=1)
#: Before the blank stands a time of day, behind it an offset: in a query, an unescaped `+` is read as a blank.
_BLANK_OFFSET = re.compile(r"^(.+[Tt ]\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?) (\d\d(?::?\d\d)?)$", re.ASCII)
#: A leap second is as good as the second before it is over.
_LEAP = re.compile(r":60(?=[.,Zz+-]|$)")


def read_moment(text: str) -> datetime:
    """An ISO 8601 time; without a zone: UTC.

    Raises:
        ValueError: it is none.

    Example:
        >>> read_moment("2030-01-31T09:00:00 01:00").isoformat()
        '2030-01-31T09:00:00+01:00'
    """
    found = read_local(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def read_local(text: str) -> datetime:
    """An ISO 8601 time; without a zone it stays without. Raises ValueError."""
    plain = _LEAP.sub(":59", plus_restored(text.strip()))
    try:
        return datetime.fromisoformat(plain)
    except ValueError as error:
        raise ValueError(
            f"{shown(text)} is no time: write 2030-01-31T09:00:00Z, 2030-01-31T09:00:00+01:00 or 2030-01-31"
        ) from error


def plus_restored(text: str) -> str:
    """A time from a query string, whose `+` a client forgot to write as `%2B`."""
    return _BLANK_OFFSET.sub(r"\1+\2", text)


def through(when: datetime) -> datetime:
    """The last moment of the second that an upper bound names, if it names a whole one.

    Times are shown in whole seconds, cut off: an instance shown as created at 09:00:05 was created before 09:00:06. Whoever
    gives that time back as an upper bound means the instance, too.
    """
    return when if when.microsecond else when + _SECOND - timedelta.resolution


def read_status(text: str) -> RuntimeStatus:
    """A runtime status, in any case.

    Raises:
        ValueError: there is none of that name.
    """
    found = next((status for status in RuntimeStatus if status.lower() == text.lower()), None)
    if found is None:
        raise ValueError(f"no runtime status is called {shown(text)}; there are {', '.join(RuntimeStatus)}")
    return found


def shown(text: str) -> str:
    """A client's text, as an error quotes it: short, on one line."""
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}…"
