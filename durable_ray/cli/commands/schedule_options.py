"""The options that say what a schedule is; the same where one is created and where it is updated.

They have the names that they have in Python and over HTTP. What was typed becomes parts of a schedule's document, which the
hub's door checks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from durable_ray.cli.commands.choices import CatchUpOption, OverlapOption, PlacementOption
from durable_ray.cli.exits import usage
from durable_ray.cli.inputs import duration, json_value, when
from durable_ray.cli.inputs import tags as tags_of
from durable_ray.orchestrations.schedules.schedule import ScheduleAction, SchedulePolicy
from durable_ray.orchestrations.schedules.spec import ScheduleSpec


@dataclass(frozen=True, slots=True)
class ScheduleParts:
    """What was given of a schedule: fields of its spec, action and policy, as JSON values."""

    spec: Mapping[str, Any]
    action: Mapping[str, Any]
    policy: Mapping[str, Any]

    def __bool__(self) -> bool:
        return bool(self.spec or self.action or self.policy)


_WHEN, _WHAT, _HOW = "When", "What each run is", "Runs that overlap, and missed ones"
_Texts = list[str] | None
_Text = str | None
CronOption = Annotated[
    _Texts,
    typer.Option(
        "--cron",
        help="'30 2 * * MON-FRI', with six fields seconds first, or @daily. May be repeated.",
        rich_help_panel=_WHEN,
    ),
]
EveryOption = Annotated[
    _Texts,
    typer.Option(
        "--every", metavar="DURATION", help="6h, or 6h/15m: a quarter past. May be repeated.", rich_help_panel=_WHEN
    ),
]
AtOption = Annotated[
    _Texts,
    typer.Option(
        "--at", metavar="TIME", help="Once: ISO 8601, or 10m: from now. May be repeated.", rich_help_panel=_WHEN
    ),
]
CalendarOption = Annotated[
    _Texts,
    typer.Option(
        "--calendar",
        metavar="JSON",
        help="""'{"day_of_week": "SAT", "hour": [9, 17]}', @file or -. May be repeated.""",
        rich_help_panel=_WHEN,
    ),
]
ExcludeOption = Annotated[
    _Texts,
    typer.Option(
        "--exclude",
        help="Not at these times: a cron expression, a calendar in JSON, or BEGIN/END. May be repeated.",
        rich_help_panel=_WHEN,
    ),
]
ZoneOption = Annotated[
    _Text,
    typer.Option("--time-zone", metavar="NAME", help="IANA name in which times are meant; UTC.", rich_help_panel=_WHEN),
]
StartOption = Annotated[
    _Text, typer.Option("--start", metavar="TIME", help="Not before this time.", rich_help_panel=_WHEN)
]
EndOption = Annotated[_Text, typer.Option("--end", metavar="TIME", help="Not after this time.", rich_help_panel=_WHEN)]
JitterOption = Annotated[
    _Text,
    typer.Option("--jitter", metavar="DURATION", help="Each run begins up to this much later.", rich_help_panel=_WHEN),
]
MaxRunsOption = Annotated[
    int | None, typer.Option("--max-runs", help="It has ended after so many runs by schedule.", rich_help_panel=_WHEN)
]
InputOption = Annotated[
    _Text, typer.Option("--input", metavar="JSON", help="Of each run: JSON, @file or -.", rich_help_panel=_WHAT)
]
InstanceIdOption = Annotated[
    _Text,
    typer.Option(
        "--instance-id",
        metavar="TEMPLATE",
        help="As 'report-{time}'; {schedule_id} by default: one at a time.",
        rich_help_panel=_WHAT,
    ),
]
VersionOption = Annotated[
    _Text,
    typer.Option("--version", help="The orchestrator's; the newest at each run by default.", rich_help_panel=_WHAT),
]
TagsOption = Annotated[
    _Texts, typer.Option("--tag", "-t", metavar="KEY=VALUE", help="May be repeated.", rich_help_panel=_WHAT)
]
PlaceOption = Annotated[
    PlacementOption | None,
    typer.Option("--placement", help="An actor of its own, or a shared one.", rich_help_panel=_WHAT),
]
PriorityOption = Annotated[
    int | None,
    typer.Option("--priority", help="Of those that wait for an actor the higher goes first.", rich_help_panel=_WHAT),
]
HowOverlapOption = Annotated[
    OverlapOption | None,
    typer.Option("--overlap", help="If a run is due while one is under way.", rich_help_panel=_HOW),
]
HowCatchUpOption = Annotated[
    CatchUpOption | None,
    typer.Option("--catch-up", help="Of the times missed while the hub was away.", rich_help_panel=_HOW),
]
WindowOption = Annotated[
    _Text,
    typer.Option(
        "--catch-up-window", metavar="DURATION", help="How late a missed time may be run; 1m.", rich_help_panel=_HOW
    ),
]
PauseOption = Annotated[
    bool | None,
    typer.Option("--pause-on-failure/--no-pause-on-failure", help="Pause when a run fails.", rich_help_panel=_HOW),
]


def make_parts(
    cron: CronOption = None,
    every: EveryOption = None,
    at: AtOption = None,
    calendar: CalendarOption = None,
    exclude: ExcludeOption = None,
    time_zone: ZoneOption = None,
    start: StartOption = None,
    end: EndOption = None,
    jitter: JitterOption = None,
    max_runs: MaxRunsOption = None,
    input_: InputOption = None,
    instance_id: InstanceIdOption = None,
    version: VersionOption = None,
    tag: TagsOption = None,
    placement: PlaceOption = None,
    priority: PriorityOption = None,
    overlap: HowOverlapOption = None,
    catch_up: HowCatchUpOption = None,
    catch_up_window: WindowOption = None,
    pause_on_failure: PauseOption = None,
) -> ScheduleParts:
    """What was typed: a command that takes `ScheduleParts` has these options instead."""
    entries = [*_occurrences(cron or (), every or (), at or (), calendar or ())]
    spec = {
        "when": entries or None,
        "exclude": [_exclusion(text) for text in exclude or ()] or None,
        "time_zone": time_zone,
        "start": None if start is None else _time(start),
        "end": None if end is None else _time(end),
        "jitter": None if jitter is None else duration(jitter).total_seconds(),
        "max_runs": max_runs,
    }
    action = {
        "instance_id": instance_id,
        "version": version,
        "tags": tags_of(tag) if tag else None,
        "placement": placement and placement.value,
        "priority": priority,
    }
    policy = {
        "overlap": overlap and overlap.value,
        "catch_up": catch_up and catch_up.value,
        "catch_up_window": None if catch_up_window is None else duration(catch_up_window).total_seconds(),
        "pause_on_failure": pause_on_failure,
    }
    given: dict[str, Any] = {} if input_ is None else {"input": json_value(input_)}
    return ScheduleParts(_present(spec), _present(action) | given, _present(policy))


SCHEDULE_OPTIONS = tuple(inspect.signature(make_parts, eval_str=True).parameters.values())

#: What an update can set back to its default.
_RESETTABLE = {
    "spec": {*ScheduleSpec.__struct_fields__} - {"when"},
    "action": {*ScheduleAction.__struct_fields__} - {"orchestrator"},
    "policy": {*SchedulePolicy.__struct_fields__},
}


def changed(schedule: Mapping[str, Any], parts: ScheduleParts, reset: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A schedule's document with other parts; those named in `reset` have their default.

    Raises:
        CommandError: there is no such part, or it is given too.
    """
    found = {part: dict(schedule[part]) for part in _RESETTABLE}
    for name in reset:
        field = {"tag": "tags"}.get(name, name.removeprefix("--").replace("-", "_"))
        part = next((part for part, fields in _RESETTABLE.items() if field in fields), None)
        if part is None:
            known = ", ".join(sorted(one.replace("_", "-") for fields in _RESETTABLE.values() for one in fields))
            raise usage(f"{name!r} cannot be reset", f"write one of {known}")
        if field in getattr(parts, part):
            raise usage(f"{name} is reset and given: one of them")
        del found[part][field]
    return {part: fields | dict(getattr(parts, part)) for part, fields in found.items()}


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _occurrences(
    cron: Sequence[str], every: Sequence[str], at: Sequence[str], calendar: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for expression in cron:
        yield {"type": "cron", "expression": expression}
    for text in every:
        length, slash, offset = text.partition("/")
        shift = {"offset": duration(offset).total_seconds()} if slash else {}
        yield {"type": "interval", "every": duration(length).total_seconds(), **shift}
    if at:
        yield {"type": "times", "times": [_time(text) for text in at]}
    for text in calendar:
        yield {"type": "calendar", **_object(text, "a calendar")}


def _exclusion(text: str) -> dict[str, Any]:
    begin, slash, end = text.partition("/")
    if slash and re.match(r"\d{4}-\d\d", begin):
        return {"type": "period", "begin": _time(begin), "end": _time(end)}
    if text.lstrip().startswith("{"):
        return {"type": "calendar", **_object(text, "an exclusion")}
    return {"type": "cron", "expression": text}


def _object(text: str, what: str) -> dict[str, Any]:
    found = json_value(text)
    if not isinstance(found, dict):
        raise usage(f"{what} is a JSON object, not {text!r}", """write '{"day_of_week": "SAT", "hour": [9, 17]}'""")
    return found


def _time(text: str) -> str:
    """A time as documents have it; without a zone it is in the schedule's."""
    found: datetime = when(text, ahead=True, local=True)
    return found.isoformat()
