"""The list's filter as its URL has it: what goes to `/api/v1`, what is of the page alone, and links to its neighbours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from durable_ray.page.api_client import ApiRefused, Pairs

STATUSES = ("Pending", "Running", "Suspended", "Completed", "Failed", "Terminated")
#: Columns in the order in which they are shown, with their titles.
COLUMNS = {
    "id": "Instance",
    "name": "Orchestrator",
    "status": "Status",
    "created": "Created",
    "updated": "Last turn",
    "duration": "Duration",
    "tags": "Tags",
    "custom_status": "Custom status",
    "version": "Version",
    "parent": "Parent",
    "priority": "Priority",
    "turns": "Turns",
    "events": "Events",
    "recoveries": "Recoveries",
}
DEFAULT_COLUMNS = ("id", "name", "status", "created", "updated", "duration", "tags")
#: The cookie in which a browser keeps the columns that were chosen last.
COLUMNS_COOKIE = "durable_ray_columns"

#: Parameters of the page alone; all others are the API's, which refuses what it does not know.
_OWN = frozenset({"within", "idle", "order", "token", "limit", "col"})
_TIMES = frozenset({"created_from", "created_to", "updated_from", "updated_to"})
_SPAN = re.compile(r"(\d{1,6})([mhd])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class ListFilter:
    """The parameters of a list, in order; those that are empty (fields of a form that were left so) are not there."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> ListFilter:
        """Of the parameters of a URL or the fields of a form."""
        return cls(tuple(dict.fromkeys((name, value.strip()) for name, value in pairs if value.strip())))

    def get(self, name: str) -> str:
        """The first of that name, or ""."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """All of that name."""
        return [value for key, value in self.pairs if key == name]

    @property
    def limit(self) -> int:
        """Instances on a page. Raises ApiRefused."""
        text = self.get("limit") or "50"
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= 500:
            raise ApiRefused(400, "A parameter cannot be understood", "limit: a page has 1 to 500 instances")
        return int(text)

    @property
    def descending(self) -> bool:
        """Whether the newest come first."""
        return self.get("order") != "oldest"

    def chosen(self) -> list[tuple[str, str]]:
        """What chooses instances, without order, page and columns."""
        return [(name, value) for name, value in self.pairs if name not in _OWN or name in ("within", "idle")]

    def asked(self, now: datetime) -> Pairs:
        """What the API is asked for. Raises ApiRefused where a time or a span cannot be read."""
        found: list[tuple[str, str]] = []
        for name, value in self.pairs:
            if name in _TIMES:
                found.append((name, _moment(name, value)))
            elif name == "within":
                found.append(("created_from", (now - _span(name, value)).isoformat()))
            elif name == "idle":
                found.append(("updated_to", (now - _span(name, value)).isoformat()))
            elif name not in _OWN:
                found.append((name, value))
        return found

    def body(self, now: datetime) -> dict[str, object]:
        """The same as the API's filter in a body."""
        found: dict[str, object] = {}
        for name, value in self.asked(now):
            if name in ("status", "name", "tag"):
                values = found.setdefault(name, [])
                assert isinstance(values, list)
                values.append(value)
            else:
                found[name] = value
        return found

    def columns(self, kept: str) -> list[str]:
        """The columns to show: of the URL, else those that the browser keeps, else the usual ones."""
        wanted = self.all("col") or kept.split(".")
        return [name for name in COLUMNS if name in wanted] or list(DEFAULT_COLUMNS)

    def url(self, changes: Mapping[str, str | None] | None = None, **more: str | None) -> str:
        """The list with other values (None: without that); it begins with its first page unless a token is among them."""
        changed = {"token": None, **(changes or {}), **more}
        pairs = [(name, value) for name, value in self.pairs if name not in changed]
        pairs += [(name, value) for name, value in changed.items() if value]
        return f"/?{urlencode(pairs)}" if pairs else "/"

    def without(self, name: str, value: str) -> str:
        """The list without one of several values."""
        return ListFilter(tuple(pair for pair in self.pairs if pair != (name, value))).url()

    def field(self, name: str) -> str:
        """A time as the browser's field for it shows it: in UTC, to the minute or second."""
        value = self.get(name)
        return value.removesuffix("Z").partition(".")[0] if value else ""


def _moment(name: str, value: str) -> str:
    """A time as a form's field has it (in UTC, without saying so), or as RFC 3339 has it."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ApiRefused(400, "A parameter cannot be understood", f"{name}: write a time as 2030-01-31T12:00") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _span(name: str, value: str) -> timedelta:
    found = _SPAN.fullmatch(value)
    if found is None:
        raise ApiRefused(400, "A parameter cannot be understood", f"{name}: write a span of time as 15m, 24h or 7d")
    return int(found[1]) * _UNITS[found[2]]
