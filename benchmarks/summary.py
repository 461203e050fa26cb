"""The tables of README.md and docs/benchmarks.md, written from the results that were kept: figures are never typed by hand.

python -m benchmarks.summary        # after a run with --keep, which does it by itself
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.results import ROOT

_BEGIN, _END = "<!-- figures: python -m benchmarks.summary -->", "<!-- end of figures -->"

#: Workload, its metric, its unit, whether more is better, and what a reader would call it.
_ROWS = (
    ("W1a", "p50 ms", "ms", False, "hello of 3 activities, start to result"),
    ("W1b", "per s", "/s", True, "hellos started at once"),
    ("W1b", "async per s", "/s", True, "the same, awaited"),
    ("W1c", "per s", "/s", True, "hellos started one by one, blocking"),
    ("W2", "ms", "ms", False, "fan-out to 200 and back"),
    ("W3a", "p50 ms", "ms", False, "event raised to orchestration completed"),
    ("W3b", "per s", "/s", True, "1,000 events to one instance"),
    ("W4", "s", "s", False, "1,000 that sleep a durable second"),
    ("W5", "s from the kill", "s", False, "kill -9 with 200 waiting: from the kill to all done"),
    ("W6", "page p50 ms", "ms", False, "page of 100 by time and status"),
    ("W6", "get p50 ms", "ms", False, "one instance by ID"),
    ("W7", "ms a step", "ms", False, "thousands of activities in sequence, each"),
    ("W7", "replay of 2000 ms", "ms", False, "replay of 2,000 steps"),
    ("dedicated", "p50 ms", "ms", False, "start of an instance with a process of its own"),
    ("dedicated", "in a row p50 ms", "ms", False, "such starts, one straight after the other"),
)
#: The rows that README has; docs/benchmarks.md has all of them.
_SHORT = ("W1a", "W2", "W3a", "W5", "W7")
_RESULTS = ROOT / "benchmarks" / "results"
_COLUMNS = ("durable_ray", "durable_ray local", "Ray actors", "DBOS SQLite", "DBOS PostgreSQL", "Restate")


def write() -> None:
    """Put the tables between the marks of their pages."""
    for page, shown in (("README.md", short_table()), ("docs/benchmarks.md", tables())):
        file = ROOT / page
        before, _, rest = file.read_text().partition(_BEGIN)
        _, _, after = rest.partition(_END)
        file.write_text(f"{before}{_BEGIN}\n\n{shown}\n\n{_END}{after}")


def short_table() -> str:
    """The few rows that say most, the first metric of each."""
    firsts = {row[0]: row for row in reversed(_ROWS)}
    return "\n".join(_table(_kept(), [firsts[key] for key in _SHORT]))


def tables() -> str:
    """What was measured, then each target with what came of it, then the queries over a million instances."""
    found = _kept()
    lines = _table(found, _ROWS)
    lines += ["", *_made(found["workloads"], found["machine"]["date"])]
    lines += ["", "What is on disk when a call returns:", ""]
    lines += [f"- {name}: {found['durability'][name]}" for name in _COLUMNS if name in found["durability"]]
    judged = [(key, *target.split(" - ")) for key, one in found["workloads"].items() for target in one["targets"]]
    missed = [one for one in judged if one[-1] == "NOT MET"]
    met = sum(one[-1] == "met" for one in judged)
    lines += ["", f"{met} of {met + len(missed)} targets were met in this run."]
    if missed:
        lines += ["Those that were not (ratio in this run):", ""]
        lines += [f"- {key}: {wanted} - {ratio}" for key, wanted, ratio, _ in missed]
    if (_RESULTS / "million.json").exists():
        lines += _many(json.loads((_RESULTS / "million.json").read_text()))
    return "\n".join(lines)


def _kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_RESULTS / "latest.json").read_text())
    return found


def _table(found: dict[str, Any], rows: Sequence[tuple[str, str, str, bool, str]]) -> list[str]:
    """Where and how it was measured, and a row for each of `rows` that was."""
    here, scale = found["machine"], found["scale"]
    lines = [
        f"{here['date']}; {here['cores']} cores, {here['memory GiB']} GiB, {here['system']}, Python {here['python']}, Ray "
        f"{here['ray']}; {_rounds(scale['rounds'])}. In brackets: how many times as fast as durable_ray with default "
        "activities.",
        "",
        f"| | {' | '.join(_COLUMNS)} |",
        f"|---|{'---|' * len(_COLUMNS)}",
    ]
    for key, metric, unit, more, title in rows:
        figures = found["workloads"].get(key, {}).get("figures", {})
        cells = [_cell(figures, name, metric, unit, more) for name in _COLUMNS]
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _made(workloads: dict[str, Any], date: str) -> list[str]:
    """How rows were made that are not simply one call after the other."""
    lines = []
    if figures := workloads.get("W6", {}).get("figures"):
        stored = {name: f"{statistics.median(metrics['stored']):,.0f}" for name, metrics in figures.items()}
        peers = ", ".join(f"{name} {many}" for name, many in stored.items() if name != "durable_ray")
        lines.append(
            f"- The two rows of queries: durable_ray holds {stored.get('durable_ray')} instances, written in bulk by the "
            "store's own commits and without history: none was run. "
            + (f"The peers hold what they really ran in half a minute: {peers}." if peers else "")
        )
    if figures := workloads.get("W5", {}).get("figures"):
        back = statistics.median(figures["durable_ray"]["s of them once it answers again"])
        lines.append(
            "- kill -9: the clock runs from the kill. Ray notices it and brings our processes back; the benchmark starts those "
            f"of the peers again at once. Of durable_ray's time, {back:.2g} s are after its processes answer again."
        )
    later = {one["date"]: [] for one in workloads.values() if one.get("date", date) != date}
    for key, one in workloads.items():
        if one.get("date") in later:
            later[one["date"]].append(f"{key} (load {one['load']:.1f} when it began)")
    lines += [f"- Measured apart, {when}: {', '.join(which)}." for when, which in later.items()]
    return ["How they were made:", "", *lines] if lines else []


def _rounds(many: int) -> str:
    return "one round" if many == 1 else f"medians of {many} rounds"


def _many(found: dict[str, Any]) -> list[str]:
    figures = found["workloads"]["W6"]["figures"]["durable_ray"]
    said = {metric.removesuffix(" p50 ms"): statistics.median(values) for metric, values in figures.items()}
    wanted = ("page", "newest 100 of a name", "get", "counts", "page query ms", "bare call ms")
    shown = ", ".join(f"{metric.removesuffix(' ms')} {said[metric]:.2g} ms" for metric in wanted if metric in said)
    return [
        "",
        f"With {said['stored']:,.0f} stored instances ({found['machine']['date']}), medians at the client: {shown}.",
    ]


def _cell(figures: dict[str, Any], name: str, metric: str, unit: str, more: bool) -> str:
    values, base = figures.get(name, {}).get(metric), figures.get("durable_ray", {}).get(metric)
    if not values:
        return ""
    value = statistics.median(values)
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    if name == "durable_ray" or not base:
        return f"{shown} {unit}"
    ours = statistics.median(base)
    return f"{shown} {unit} ({value / ours if more else ours / value:.2g}x)"


if __name__ == "__main__":
    write()
