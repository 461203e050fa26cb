"""The histogram above the list as SVG: instances by time of creation, stacked by status, each bar a link to its time.

Made here and not by a script: it works without one, and is tested as any function.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from markupsafe import Markup

from durable_ray.http.api.overview import CreatedHistogram, HistogramBin
from durable_ray.page.filters import STATUSES, ListFilter

#: Of the drawing, which is scaled to the page.
_WIDTH, _HEIGHT = 1200, 96
_GAP = 2


def histogram_svg(found: CreatedHistogram, bins: int, filters: ListFilter) -> Markup:
    """A bar for each bin that has instances; its link shows the instances of that time."""
    if found.start is None or not found.bins:
        return Markup("")
    highest = max(sum(bar.by_status.values()) for bar in found.bins)
    span = timedelta(seconds=found.bin_seconds)
    bars = Markup("").join(_bar(bar, found.start, span, bins, highest, filters) for bar in found.bins)
    return Markup(
        '<svg class="histogram" viewBox="0 0 {} {}" preserveAspectRatio="none" role="group" '
        'aria-label="Instances by time of creation">{}</svg>'
    ).format(_WIDTH, _HEIGHT, bars)


def _bar(bar: HistogramBin, start: datetime, span: timedelta, bins: int, highest: int, filters: ListFilter) -> Markup:
    place, width = round((bar.start - start) / span), _WIDTH / bins
    x, total = place * width + _GAP / 2, sum(bar.by_status.values())
    # A few beside many are still seen.
    y, parts = float(_HEIGHT), []
    for status in STATUSES:
        n = bar.by_status.get(status, 0)
        if n:
            height = max(2.0, (_HEIGHT - 4) * n / highest)
            y -= height
            parts.append(_rect(f"fill-{status}", x, y, width - _GAP, height))
    first, last = bar.start, bar.start + span - timedelta(microseconds=1)
    url = filters.url({"within": None, "created_from": _text(first), "created_to": _text(last)})
    listed = ", ".join(f"{n:,} {status}" for status, n in bar.by_status.items())
    title = f"{first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} UTC: {listed}"
    return Markup('<a href="{}" aria-label="{}"><title>{}</title>{}{}</a>').format(
        url, f"{total:,} instances, {title}", title, _rect("hit", x, 0, width - _GAP, _HEIGHT), Markup("").join(parts)
    )


def _rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
        kind, x, y, width, height
    )


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
