"""Parsing of arguments, strictly: JSON (also `@file` and `-`), times, durations, tags. Errors show the right form."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from durable_ray.actors.clock import SystemClock
from durable_ray.actors.instances.status import moment
from durable_ray.cli.exits import CommandError, usage
from durable_ray.client.operations.bounds import read_local, read_moment
from durable_ray.orchestrations.values.ids import validate_tags
from durable_ray.orchestrations.values.payloads import PayloadError, from_json_text
from durable_ray.orchestrations.values.times import duration as micros_of

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def now() -> datetime:
    """This moment, UTC."""
    return moment(SystemClock().now())


def text_of(value: str) -> str:
    """What an argument stands for: `@file` is the file's text, `-` what is piped in, anything else itself."""
    if value == "-":
        return sys.stdin.read()
    if value.startswith("@"):
        path = Path(value[1:]).expanduser()
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise usage(f"{path} cannot be read: {reason}") from error
    return value


def json_value(value: str | None) -> Any:
    """A JSON argument (or `@file`, or `-`); None if it was left out.

    Raises:
        Problem: it is not JSON.
    """
    return None if value is None else _parsed(text_of(value), value)


def _parsed(text: str, shown: str) -> Any:
    try:
        return from_json(from_json_text(text))
    except PayloadError as error:
        raise _not_json(text, shown, str(error)) from error


def _not_json(text: str, shown: str, reason: str) -> CommandError:
    if text is shown and re.fullmatch(r"[\w .,:/-]+", text):
        return usage(f"{text!r} is not JSON", f"a text needs its quotes: '{json.dumps(text)}'")
    return usage(reason, "give JSON, @file or - for what is piped in")


def json_values(value: str) -> list[Any]:
    """Many inputs at once: a JSON array, or one JSON value a line."""
    text = text_of(value).strip()
    if text.startswith("["):
        try:
            whole = json.loads(text)
        except ValueError:
            whole = None
        if isinstance(whole, list) and not ("\n" in text and _all_json(text.splitlines())):
            return [_parsed(json.dumps(item), "") for item in whole]
    return [_parsed(line, "") for line in text.splitlines() if line.strip()]


def _all_json(lines: Sequence[str]) -> bool:
    for line in lines:
        try:
            json.loads(line)
        except ValueError:
            return False
    return True


def duration(text: str) -> timedelta:
    """`90s`, `5m`, `1h30m`, `2d`.

    Example:
        >>> duration("1h30m").total_seconds()
        5400.0
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise usage(f"{text!r} is no duration", "write 90s, 5m, 1h30m, 2d or 1w")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return timedelta(microseconds=micros_of(seconds, "a duration"))


def when(text: str, *, ahead: bool = False, local: bool = False) -> datetime:
    """A time (ISO 8601; without a zone: UTC, with `local` as it is), or a duration: so long ago, or with `ahead` from now."""
    if _DURATION.match(text) and not re.match(r"\d{4}-", text):
        return now() + duration(text) if ahead else now() - duration(text)
    try:
        return read_local(text) if local else read_moment(text)
    except ValueError as error:
        raise usage(
            f"{text!r} is no time", "write 2030-01-31T09:00, 2030-01-31 09:00+02:00, or a duration: 2h"
        ) from error


def tags(pairs: Sequence[str]) -> dict[str, str]:
    """`key=value` arguments."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise usage(f"{pair!r} is no tag", "write --tag key=value")
        found[key] = value
    return validate_tags(found)


def ids(given: Sequence[str]) -> Iterator[str]:
    """Instance IDs, once each; `-` takes those piped in, one a line."""
    seen = set()
    for one in given:
        for found in text_of(one).split("\n") if one == "-" else [one]:
            # Not stripped of blanks: they may belong to the ID.
            instance_id = found.removesuffix("\r") if one == "-" else found
            if instance_id.strip() and instance_id not in seen:
                seen.add(instance_id)
                yield instance_id
