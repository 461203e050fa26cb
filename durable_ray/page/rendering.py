"""Templates, and how times, durations and JSON values read in them. Everything is escaped: a value is text, never markup."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic_core import to_jsonable_python

from durable_ray.page.api_client import segment

#: What `/page/static/` serves, by name, with its content type. Nothing else of the package can be reached.
STATIC = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript; charset=utf-8",
    "vendor/idiomorph-ext.min.js": "text/javascript; charset=utf-8",
}

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@cache
def static(name: str) -> bytes:
    """A file of the page."""
    return files("durable_ray.page").joinpath("static", *name.split("/")).read_bytes()


@cache
def static_url(name: str) -> str:
    """Where it is; another content is another address, so browsers may keep it."""
    return f"/page/static/{name}?{hashlib.sha256(static(name)).hexdigest()[:12]}"


def instance_url(instance_id: str, *parts: str) -> str:
    """The page of an instance, or a part of it."""
    return "/".join(["/page/instances", *map(segment, (instance_id, *parts))])


def lasting(span: timedelta | float) -> str:
    """A duration in its two largest units: "3 min 5 s", "41 ms"."""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 0:
        return f"-{lasting(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    left, found = round(seconds), []
    for size, unit in _UNITS:
        if left >= size:
            found.append(f"{left // size} {unit}")
            left %= size
        elif found:
            break
    return " ".join(found[:2])


def when(at: datetime | None, now: datetime | None = None) -> Markup:
    """A time as an element: its UTC time, and on pointing at it how long ago that is (with `now`: the other way round)."""
    if at is None:
        return Markup('<span class="none">–</span>')
    at = at.astimezone(UTC)
    exact = f"{at:%Y-%m-%d %H:%M:%S}"
    if now is None:
        return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
            at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S.%f}", exact
        )
    ago = (now - at).total_seconds()
    text = "now" if abs(ago) < 1 else f"{lasting(ago)} ago" if ago > 0 else f"in {lasting(-ago)}"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(at.isoformat(), exact, text)


def pretty(value: Any) -> str:
    """A JSON value as people read it; a text stays what it is in JSON, quoted."""
    return json.dumps(to_jsonable_python(value, inf_nan_mode="strings"), indent=2, ensure_ascii=False)


def brief(value: Any, longest: int = 120) -> str:
    """A JSON value on one line."""
    text = json.dumps(to_jsonable_python(value, inf_nan_mode="strings"), ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def number(value: int) -> str:
    """12,345."""
    return f"{value:,}"


def anchor(text: str) -> str:
    """A name for an element, the same each time for the same text, whatever is in that."""
    return f"r{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def bdi(text: str) -> Markup:
    """A text of strangers: what it says of the direction of writing ends with it."""
    return Markup("<bdi>{}</bdi>").format(escape(text))


@cache
def environment() -> Environment:
    """The templates. Autoescaping is on for all of them, and a name that is not there is an error."""
    env = Environment(
        loader=PackageLoader("durable_ray.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "when": when, "lasting": lasting, "pretty": pretty, "brief": brief, "number": number, "anchor": anchor, "bdi": bdi,
        "segment": segment,
    }  # fmt: skip
    env.globals |= {"static_url": static_url, "instance_url": instance_url}
    return env
