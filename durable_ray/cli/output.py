"""What commands print: JSON for programs, tables that fit the terminal for people.

Whatever comes from users (IDs, payloads, reasons) is printed as plain text: it may hold rich's markup or a terminal's
escapes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_jsonable_python
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from durable_ray.cli.exits import one_line
from durable_ray.cli.hub.port import EventView, InstanceView

STYLES = {
    "Pending": "yellow",
    "Running": "cyan",
    "Suspended": "magenta",
    "Completed": "green",
    "Failed": "red",
    "Terminated": "bright_black",
}


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(to_jsonable_python(value, fallback=str), indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """One of many JSON documents, on a line of its own, at once."""
    print(json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False), flush=True)


def as_json(instance: InstanceView) -> dict[str, Any]:
    """An instance, as `/api/v1` shows it."""
    shown = {name: stamp(value) if isinstance(value, datetime) else value for name, value in instance.document.items()}
    if instance.history is not None:
        shown["history"] = [event_json(event) for event in instance.history]
    return shown


def event_json(event: EventView) -> dict[str, Any]:
    """An event of a history: its type, its time and its own fields."""
    return {"type": event.kind, "at": stamp(event.at), "name": event.name, **event.data}


def stamp(at: datetime | None) -> str | None:
    """A time for programs: ISO 8601, UTC."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def utc(at: datetime | None) -> str:
    """A time for people, to the second, marked as UTC, because it may be given back as a filter's bound."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def short(value: Any, width: int = 60) -> str:
    """A JSON value on one line, cut where it gets long."""
    if value is None:
        return ""
    text = one_line(value if isinstance(value, str) else json.dumps(to_jsonable_python(value, fallback=str)))
    return text if len(text) <= width else text[: width - 1] + "…"


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=STYLES.get(status, ""))


def plain(value: object) -> Text:
    """Text that is shown as it is."""
    return Text(one_line(str(value)))


#: What rich puts between two columns: a space on each side of a divider.
GAP = 3


def made_table(columns: Sequence[tuple[str, int]], *, fold: str = "") -> Table:
    """A table whose columns have these widths; only the one named `fold` breaks over lines."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name, width in columns:
        made.add_column(name, width=width, no_wrap=name != fold, overflow="fold" if name == fold else "ellipsis")
    return made


def longest(texts: Iterable[str], header: str) -> int:
    """The width of a column."""
    return max([len(header), *(len(text) for text in texts)])


def instances_table(instances: Sequence[InstanceView], width: int) -> Table:
    """Instances, a line each. A narrow terminal shows fewer columns; an ID breaks over lines and is never cut."""
    times = {"created": 20} | ({"updated": 20} if width >= 130 else {})
    if width < 100:
        times = {}  # a random ID has 32 characters, and 80 columns have no room for a time beside it
    fixed = {"status": 10, **times}
    shown = 3 + len(fixed)
    left = width - sum(fixed.values()) - GAP * shown
    # Where the rest has room beside a random ID, that stays on one line; in a pipe every ID does.
    most = width if width >= 200 else max(32, left * 45 // 100) if left >= 50 else max(8, left * 45 // 100)
    id_width = min(longest((one.instance_id for one in instances), "instance"), most)
    name_width = min(longest((one.name for one in instances), "orchestrator"), max(8, (left - id_width) * 45 // 100))
    results = [one.waiting_reason or one.output or one.custom_status for one in instances]
    columns = {
        "instance": id_width,
        "orchestrator": name_width,
        **fixed,
        "result": min(max(6, left - id_width - name_width), longest((short(each, 100) for each in results), "result")),
    }
    made = made_table(list(columns.items()), fold="instance")
    for one, result in zip(instances, results, strict=True):
        moments = [utc(one.created_at), utc(one.updated_at)][: len(times)]
        made.add_row(
            plain(one.instance_id),
            plain(one.name),
            status_text(one.status),
            *moments,
            plain(short(result, columns["result"])),
        )
    return made


#: Of what an instance waits for, so much is shown.
_WAITS = 10


def print_instance(out: Console, instance: InstanceView) -> None:
    """All that is known of an instance, a line a fact, empty ones left out."""
    waits = [plain(wait["text"]) for wait in instance.waiting_for or ()]
    facts: list[tuple[str, Text | str]] = [
        ("instance", plain(instance.instance_id)),
        ("orchestrator", plain(f"{instance.name} {instance.version}".strip())),
        ("status", status_text(instance.status)),
        *[("" if number else "waits for", wait) for number, wait in enumerate(waits[:_WAITS])],
        ("", f"and {len(waits) - _WAITS} more" if len(waits) > _WAITS else ""),
        ("created", utc(instance.created_at)),
        ("scheduled", utc(instance.scheduled_start)),
        ("started", utc(instance.started_at)),
        ("updated", utc(instance.updated_at)),
        ("completed", utc(instance.completed_at)),
        ("input", plain(short(instance.input, 2000))),
        ("custom status", plain(short(instance.custom_status, 2000))),
        ("output", plain(short(instance.output, 2000))),
        ("parent", plain(instance.parent_id or "")),
        ("placement", plain(instance.placement)),
        ("tags", plain(" ".join(f"{key}={value}" for key, value in instance.tags.items()))),
        ("recoveries", str(instance.recoveries or "")),
    ]
    print_facts(out, facts)
    if instance.failure is not None:
        out.print()
        out.print(Text(failure_text(instance.failure)), soft_wrap=True)


def failure_text(failure: Mapping[str, Any]) -> str:
    """A failure and what caused it, that first, as Python prints errors."""
    told = failure["stack_trace"].strip() or f"{failure['error_type'].removeprefix('builtins.')}: {failure['message']}"
    cause = failure.get("cause")
    return told if cause is None else f"{failure_text(cause)}\n\nwhich caused:\n\n{told}"


def print_facts(out: Console, facts: Iterable[tuple[str, Text | str]]) -> None:
    """Names and values in two columns; those without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        if str(value):
            grid.add_row(name, value)
    out.print(grid)


_NOT_DETAIL = frozenset(
    {"name", "code_id", "message_id", "execution_id", "began", "version", "generation", "stack_trace"}
)


def detail(data: Mapping[str, Any]) -> str:
    """The details of an event: its payload, its failure, its time."""
    failure = data.get("failure")
    if isinstance(failure, Mapping):
        return one_line(f"{str(failure.get('error_type', '')).removeprefix('builtins.')}: {failure.get('message', '')}")
    shown = {key: value for key, value in data.items() if key not in _NOT_DETAIL and key != "task_id"}
    parts = []
    for key, value in shown.items():
        if (key, value) == ("attempt", 1):
            continue
        text = utc(value) if isinstance(value, datetime) else short(value, 200)
        parts.append(text if key in ("input", "result", "payload", "reason") else f"{key}={text}")
    return " ".join(parts)


def history_table(events: Sequence[EventView], width: int) -> Table:
    """A history, a line an event."""
    fixed = {"time": 9, "event": longest((event.kind for event in events), "event"), "#": 3}
    left = max(16, width - sum(fixed.values()) - GAP * 5)
    name_width = min(longest((event.name for event in events), "name"), max(6, left * 35 // 100))
    made = made_table([*fixed.items(), ("name", name_width), ("detail", left - name_width)])
    for event in events:
        style = "red" if "Failed" in event.kind else "green" if event.kind == "ExecutionCompleted" else ""
        task = str(event.data.get("task_id", ""))
        kind = Text(event.kind, style=style)
        made.add_row(utc(event.at)[11:], kind, task, plain(event.name), plain(detail(event.data)))
    return made


def counts_table(counts: Mapping[tuple[str, str], int]) -> Table:
    """How many instances of each orchestrator are in each status."""
    statuses = [status for status in STYLES if any(key[1] == status and number for key, number in counts.items())]
    names = sorted({name for (name, _), number in counts.items() if number})
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", show_footer=len(names) > 1)
    made.add_column("orchestrator", overflow="ellipsis", no_wrap=True, footer="all")
    for status in statuses:
        total = sum(number for (_, one), number in counts.items() if one == status)
        made.add_column(Text(status, style=STYLES[status]), justify="right", footer=str(total))
    for name in names:
        made.add_row(plain(name), *(str(counts.get((name, status), 0) or "·") for status in statuses))
    return made
