"""The plot for the README: each engine's figure as a multiple of durable_ray's, drawn as plain SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10

from benchmarks.driver import Outcome
from benchmarks.measure import Spread
from benchmarks.results import ROOT, machine

#: Workload, its metric, whether more is better, and what to call it.
_ROWS = (
    ("W1a", "p50 ms", False, "hello of 3 activities: latency"),
    ("W1b", "per s", True, "hellos started at once"),
    ("W2", "ms", False, "fan-out to 200"),
    ("W3a", "p50 ms", False, "event to completion"),
    ("W3b", "per s", True, "1,000 events to one"),
    ("W4", "s", False, "1,000 durable sleeps of 1 s"),
    ("W7", "ms a step", False, "activities in sequence"),
)
_COLOURS = {
    "durable_ray": "#2563eb",
    "durable_ray local": "#60a5fa",
    "Ray actors": "#9ca3af",
    "DBOS SQLite": "#d97706",
    "DBOS PostgreSQL": "#f59e0b",
    "Restate": "#059669",
}
_WIDTH, _LEFT, _BAR = 860, 230, 13
_SCALE = (0.1, 1, 10, 100)


def draw(outcomes: Sequence[Outcome]) -> None:
    """Write docs/benchmarks.svg."""
    found = {outcome.workload.key: outcome for outcome in outcomes}
    parts: list[str] = []
    y = 74
    for key, metric, more, title in _ROWS:
        if key not in found:
            continue
        bars = [(name, Spread.of(values).median) for name in _COLOURS if (values := found[key].values(name, metric))]
        base = dict(bars).get("durable_ray")
        if not base:
            continue
        parts.append(_text(_LEFT - 12, y + len(bars) * _BAR / 2 + 4, title, "end"))
        for name, value in bars:
            parts.append(_bar(y, name, value / base if more else base / value, value, metric))
            y += _BAR
        y += 14
    parts += [_grid(x, y) for x in _SCALE]
    path = ROOT / "docs" / "benchmarks.svg"
    path.parent.mkdir(exist_ok=True)
    path.write_text(_frame(parts, y + 30))


def _x(ratio: float) -> float:
    least, most = log10(_SCALE[0]), log10(_SCALE[-1])
    share = (log10(ratio) - least) / (most - least)
    return _LEFT + max(0.0, min(1.0, share)) * (_WIDTH - _LEFT - 120)


def _bar(y: float, name: str, speed: float, value: float, metric: str) -> str:
    # Bars begin at the left edge of the scale: on a logarithmic scale there is no zero.
    width = max(_x(speed) - _LEFT, 1)
    label = _text(_LEFT + width + 5, y + _BAR - 3, f"{speed:.2g}x ({value:.3g} {metric})", size=10)
    return f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{_COLOURS[name]}"/>{label}'


def _grid(ratio: float, bottom: float) -> str:
    x = _x(ratio)
    line = f'<line x1="{x:.1f}" y1="66" x2="{x:.1f}" y2="{bottom}" stroke="#d1d5db"/>'
    return line + _text(x, bottom + 14, f"{ratio:g}x", "middle", 10)


def _text(x: float, y: float, said: str, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(said)}</text>'


def _frame(parts: list[str], height: float) -> str:
    here = machine()
    title = "Speed relative to durable_ray with default activities, in one run (longer is faster)"
    note = (
        f"{here['date']}, {here['cores']} cores, Python {here['python']}, Ray {here['ray']}; Ray actors store nothing"
    )
    legend = ""
    x = 20.0
    for name, colour in _COLOURS.items():
        legend += f'<rect x="{x}" y="47" width="10" height="10" fill="{colour}"/>' + _text(x + 14, 56, name, size=11)
        x += 34 + 7 * len(name)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'font-family="system-ui, sans-serif" '
        f'fill="#111827"><rect width="{_WIDTH}" height="{height:.0f}" fill="white"/>'
        f"{_text(20, 20, title, size=14)}{_text(20, 38, note, size=11)}{legend}{''.join(parts)}</svg>\n"
    )
