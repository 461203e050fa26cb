"""A history as a picture: a bar for each activity, sub-orchestration and timer, from when it was asked for to when it was done.

Made of the entries that `get_history` gives. Where there are many, those of one name share a bar, so that the picture of a
thousand activities is as small as that of ten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from durable_ray.notebook.markup import COLOURS, cut, lasting, text, when

#: Bars that are drawn.
MAX_BARS = 24
_WIDTH, _LABEL, _ROW = 720, 190, 18
_OPEN = {"TaskScheduled": "activity", "SubOrchestrationInstanceCreated": "child"}
#: Kinds whose names say what they are.
_NAMED = ("timer", "event")
_DONE = {
    "TaskCompleted": ("activity", "Completed"),
    "TaskFailed": ("activity", "Failed"),
    "TaskCanceled": ("activity", "Terminated"),
    "SubOrchestrationInstanceCompleted": ("child", "Completed"),
    "SubOrchestrationInstanceFailed": ("child", "Failed"),
}


class Span(NamedTuple):
    """Something that took time. `end` is None while it is under way; `shared` is by how many."""

    kind: str
    name: str
    start: datetime
    end: datetime | None
    status: str
    instance_id: str = ""
    shared: int = 1
    failed: int = 0

    @property
    def label(self) -> str:
        """Its name, as it stands beside the bar."""
        return f"{self.name} ×{self.shared}" if self.shared > 1 else self.name


def spans_of(entries: Iterable[Mapping[str, Any]]) -> list[Span]:
    """What took time in a history, by when it began."""
    found: list[Span] = []
    timers: dict[datetime, list[datetime]] = {}
    for entry in entries:
        kind, at = str(entry.get("EventType", "")), moment(entry.get("Timestamp"))
        name, child = str(entry.get("FunctionName") or entry.get("Name") or ""), str(entry.get("InstanceId") or "")
        due = moment(entry.get("FireAt"))
        if at is None:
            continue
        if kind in _OPEN:
            found.append(Span(_OPEN[kind], name, at, None, "Running", child))
        elif kind in _DONE:
            what, status = _DONE[kind]
            found.append(Span(what, name, moment(entry.get("ScheduledTime")) or at, at, status, child))
        elif kind == "TimerCreated" and due is not None:
            timers.setdefault(due, []).append(at)
        elif kind in ("TimerFired", "TimerCanceled") and due is not None and timers.get(due):
            found.append(Span("timer", f"timer {when(due)}", timers[due].pop(0), at, "Suspended"))
        elif kind == "EventRaised":
            found.append(Span("event", f"event {name}", at, at, "Pending"))
    found += [
        Span("timer", f"timer {when(due)}", at, None, "Running") for due, starts in timers.items() for at in starts
    ]
    return sorted(found, key=lambda span: span.start)


def moment(value: Any) -> datetime | None:
    """The time in an entry, written or as it is."""
    if isinstance(value, datetime) or value is None:
        return value
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def grouped(spans: Sequence[Span], most: int = MAX_BARS) -> list[Span]:
    """At most so many: where there are more, those of one kind and name become one."""
    if len(spans) <= most:
        return list(spans)
    groups: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        groups.setdefault((span.kind, "timers" if span.kind == "timer" else span.name), []).append(span)
    return [_joined(name, members) for (_, name), members in groups.items()][:most]


def _joined(name: str, spans: list[Span]) -> Span:
    if len(spans) == 1:
        return spans[0]
    ends = [span.end for span in spans]
    failed = sum(span.status == "Failed" for span in spans)
    open_ = any(end is None for end in ends)
    status = "Running" if open_ else "Failed" if failed else spans[-1].status
    end = None if open_ else max(end for end in ends if end is not None)
    return Span(spans[0].kind, name, min(s.start for s in spans), end, status, "", len(spans), failed)


def timeline_svg(entries: Sequence[Mapping[str, Any]]) -> str:
    """The picture; empty where nothing took time."""
    spans = spans_of(entries)
    shown = grouped(spans)
    if not shown:
        return ""
    times = [at for entry in entries if (at := moment(entry.get("Timestamp"))) is not None]
    first = min([*times, *(span.start for span in shown)])
    last = max([*times, *(span.end or span.start for span in shown)])
    scale = _Scale(first, last)
    rows = "".join(_bar(row, span, scale) for row, span in enumerate(shown))
    height = _ROW * (len(shown) + 1)
    axis = (
        f'<text x="{_LABEL}" y="{height - 5}" fill-opacity=".65">{when(first)}</text>'
        f'<text x="{_WIDTH}" y="{height - 5}" fill-opacity=".65" text-anchor="end">+{lasting(last - first)}</text>'
    )
    style = f"width:100%;max-width:{_WIDTH}px;font-size:11px;font-family:sans-serif;fill:currentColor"
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="timeline" style="{style}">{rows}{axis}</svg>'


class _Scale:
    """Where a time is on the picture."""

    def __init__(self, first: datetime, last: datetime) -> None:
        self._first = first
        self._all = (last - first) or timedelta(microseconds=1)

    def x(self, at: datetime | None) -> float:
        """Pixels from the left; of what is under way, the right edge."""
        share = 1.0 if at is None else (at - self._first) / self._all
        return _LABEL + share * (_WIDTH - _LABEL)


def _bar(row: int, span: Span, scale: _Scale) -> str:
    left = scale.x(span.start)
    width = max(3.0, scale.x(span.end) - left)
    left = min(left, _WIDTH - width)
    colour = COLOURS.get(span.status, "#7a7f87")
    took = "under way" if span.end is None else lasting(span.end - span.start)
    failed = f", {span.failed} failed" if span.failed else ""
    more = f"{'' if span.kind in _NAMED else span.kind + ' '}{span.label}, {took}{failed}"
    opacity = ' fill-opacity=".45"' if span.end is None else ""
    y = row * _ROW
    return (
        f"<g><title>{text(more)}</title>"
        f'<text x="0" y="{y + 12}">{text(cut(span.label, 30))}</text>'
        f'<rect x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="11" rx="2" fill="{colour}"{opacity}/></g>'
    )
