"""Schedules as people read them: a line each in a list; one with its next times, its last runs, and what was skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from durable_ray.cli.hub.port import ScheduleDocument
from durable_ray.cli.output import GAP, longest, made_table, plain, print_facts, short, utc

_STATUS_STYLES = {"active": "green", "paused": "magenta", "ended": "bright_black"}
_OUTCOME_STYLES = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "terminated": "bright_black",
    "lost": "red",
}
_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def schedules_table(schedules: Sequence[ScheduleDocument], width: int) -> Table:
    """Schedules, a line each. A narrow terminal shows no outcome; an ID breaks over lines and is never cut."""
    fixed = {"status": 6, "next": 20} | ({"last run": 10} if width >= 80 else {})
    left = width - sum(fixed.values()) - GAP * (len(fixed) + 2)
    id_width = min(longest((one["schedule_id"] for one in schedules), "schedule"), max(8, left // 2))
    made = made_table([("schedule", id_width), ("when", max(6, left - id_width)), *fixed.items()], fold="schedule")
    for one in schedules:
        first = one["next_times"][0] if one["next_times"] else None
        cells = [utc(_at(first))]
        if "last run" in fixed:
            cells.append(_outcome(one["runs"][0]["outcome"]) if one["runs"] else "")  # type: ignore[arg-type]
        made.add_row(plain(one["schedule_id"]), plain(when_text(one["schedule"]["spec"])), _status(one), *cells)
    return made


def print_schedule(out: Console, found: ScheduleDocument) -> None:
    """All that is known of a schedule."""
    spec, action, policy = (found["schedule"][part] for part in ("spec", "action", "policy"))
    status = _status(found)
    status.append(f" (version {found['version']})")
    window = f"{policy['catch_up']}, within {span_text(policy['catch_up_window'])}"
    counts = ", ".join(f"{number} {what}" for what, number in found["counts"].items() if number)
    print_facts(
        out,
        [
            ("schedule", plain(found["schedule_id"])),
            ("status", status),
            ("note", plain(found["note"])),
            ("orchestrator", plain(f"{action['orchestrator']} {action['version'] or ''}".strip())),
            ("input", plain(short(action["input"], 2000))),
            ("instance ID", plain(action["instance_id"] or "")),
            ("tags", plain(" ".join(f"{key}={value}" for key, value in action["tags"].items()))),
            ("placement", plain(action["placement"] or "")),
            ("priority", "" if action["priority"] is None else str(action["priority"])),
            ("when", plain("; ".join(map(_entry, spec["when"])))),
            ("except", plain("; ".join(map(_entry, spec["exclude"])))),
            ("time zone", plain(spec["time_zone"])),
            ("start", plain(spec["start"] or "")),
            ("end", plain(spec["end"] or "")),
            ("jitter", _nonzero(spec["jitter"])),
            ("max runs", str(spec["max_runs"] or "")),
            ("overlap", policy["overlap"]),
            ("catch up", policy["catch_up"] if policy["catch_up"] == "none" else window),
            ("on failure", "pause" if policy["pause_on_failure"] else ""),
            ("declared", plain(_declared(found))),
            ("created", utc(_at(found["created_at"]))),
            ("counts", counts),
            ("waiting", str(found["waiting"] or "")),
            ("next", "\n".join(utc(_at(time)) for time in found["next_times"])),
        ],
    )
    if found["runs"]:
        out.print(_runs_table(found["runs"], out.width))
    if found["skipped"]:
        out.print(_skips_table(found["skipped"], out.width))


def next_text(found: ScheduleDocument) -> str:
    """When it is due next, or why not."""
    if found["next_times"]:
        return f"next: {utc(_at(found['next_times'][0]))}"
    return "it is paused" if found["status"] == "paused" else "no time is due any more"


def when_text(spec: Mapping[str, Any]) -> str:
    """When it is due, on one line.

    Example:
        >>> when_text({"when": [{"type": "interval", "every": "PT6H"}], "time_zone": "UTC"})
        'every 6h'
    """
    zone = "" if spec["time_zone"] == "UTC" else f" {spec['time_zone']}"
    return "; ".join(map(_entry, spec["when"])) + zone


def span_text(value: str | float) -> str:
    """A duration of a document, as it is typed.

    Example:
        >>> span_text("PT5400S"), span_text(0.5)
        ('1h30m', '500ms')
    """
    left = msgspec.convert(value, timedelta, strict=False)
    parts = []
    for unit, seconds in _UNITS:
        number, left = divmod(left, timedelta(seconds=seconds))
        if number:
            parts.append(f"{number}{unit}")
    if left or not parts:
        parts.append(f"{left / timedelta(milliseconds=1):g}ms" if left else "0s")
    return "".join(parts)


def _declared(found: ScheduleDocument) -> str:
    """Which code declares it, and whether what holds is what that says."""
    declared = found["declared"]
    if declared is None:
        return ""
    if not declared["current"]:
        return f"by the code of {declared['orchestrator']}, but no more"
    updated = "" if declared["schedule"] == found["schedule"] else ", updated since"
    return f"by the code of {declared['orchestrator']}{updated}"


def _entry(entry: Mapping[str, Any]) -> str:
    match entry["type"]:
        case "cron":
            return str(entry["expression"])
        case "interval":
            offset = _nonzero(entry.get("offset", 0))
            return f"every {span_text(entry['every'])}" + (f", {offset} past" if offset else "")
        case "times":
            return "at " + ", ".join(_moment(time) for time in entry["times"])
        case "period":
            return f"{_moment(entry['begin'])}/{_moment(entry['end'])}"
        case _:
            return " ".join(f"{name}={value}" for name, value in entry.items() if name != "type" and value is not None)


def _nonzero(span: str | float) -> str:
    text = span_text(span)
    return "" if text == "0s" else text


def _moment(text: str) -> str:
    """A time in UTC as everywhere; one without a zone as it is."""
    at = datetime.fromisoformat(text)
    return utc(at) if at.tzinfo is not None else f"{at:%Y-%m-%d %H:%M:%S}"


def _runs_table(runs: Sequence[Mapping[str, Any]], width: int) -> Table:
    fixed = {"due": 20, "outcome": 10, "by": 8, "took": 8}
    made = made_table(
        [*fixed.items(), ("instance", max(8, width - sum(fixed.values()) - GAP * (len(fixed) + 1)))], fold="instance"
    )
    for run in runs:
        began, ended = _at(run["started_at"]), _at(run["ended_at"])
        took = "" if began is None or ended is None else f"{(ended - began).total_seconds():.1f}s"
        made.add_row(utc(_at(run["time"])), _outcome(run["outcome"]), run["origin"], took, plain(run["instance_id"]))
    return made


def _skips_table(skips: Sequence[Mapping[str, Any]], width: int) -> Table:
    fixed = {"skipped": 20, "times": 5, "reason": 10}
    made = made_table(
        [*fixed.items(), ("why", max(8, width - sum(fixed.values()) - GAP * (len(fixed) + 1)))], fold="why"
    )
    for skip in skips:
        made.add_row(utc(_at(skip["first"])), str(skip["count"]), skip["reason"], plain(skip["detail"]))
    return made


def _status(found: ScheduleDocument) -> Text:
    return Text(found["status"], style=_STATUS_STYLES.get(found["status"], ""))


def _outcome(outcome: str) -> Text:
    return Text(outcome, style=_OUTCOME_STYLES.get(outcome, ""))


def _at(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
