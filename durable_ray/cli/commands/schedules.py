"""`schedule …`: create, list, describe, change and delete schedules, and start their runs by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from durable_ray.actors.errors import InvalidState
from durable_ray.cli.commands.choices import OverlapOption
from durable_ray.cli.commands.schedule_options import ScheduleParts, changed
from durable_ray.cli.commands.sending import act_on_each, finish, print_done
from durable_ray.cli.exits import CommandError, Exit, usage
from durable_ray.cli.hub.port import HubPort, ScheduleDocument, ScheduleVerb
from durable_ray.cli.inputs import tags as tags_of
from durable_ray.cli.inputs import when
from durable_ray.cli.output import print_json
from durable_ray.cli.schedule_output import next_text, print_schedule, schedules_table
from durable_ray.cli.session import CommandSession
from durable_ray.client.schedule_documents import ScheduleQuery
from durable_ray.client.schedule_view import ScheduleStatus

_PAGE = 500

Id = Annotated[str, typer.Argument(metavar="ID", help="The schedule's ID.", show_default=False)]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="IDs; - for those piped in.", show_default=False)]
Note = Annotated[str, typer.Option("--note", help="Why; describe shows it.", show_default=False)]


def create(
    session: CommandSession,
    schedule_id: Id,
    orchestrator: Annotated[str, typer.Argument(help="Name under which it is deployed.", show_default=False)],
    parts: ScheduleParts,
    paused: Annotated[bool, typer.Option("--paused", help="Create it paused.")] = False,
    note: Note = "",
) -> None:
    """Start an orchestration at each of the times, each exactly once; durable when this returns. Prints the ID.

    Example: durable-ray schedule create nightly report --cron '30 2 * * *' --time-zone Europe/Berlin
    """
    if "when" not in parts.spec:
        raise usage("when is it due?", "--cron, --every, --at or --calendar; several of them, if need be")
    schedule = {
        "spec": parts.spec,
        "action": {"orchestrator": orchestrator, **parts.action},
        "policy": parts.policy,
    }
    made = session.hub.schedules.create(schedule_id, schedule, paused=paused, note=note)
    _print_one(session, made, schedule_id)


def list_(
    session: CommandSession,
    prefix: Annotated[str | None, typer.Option("--prefix", help="Whose ID begins so.", show_default=False)] = None,
    status: Annotated[
        str | None, typer.Option("--status", "-s", metavar="[active|paused|ended]", help="In this status.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", metavar="KEY=VALUE", help="Of its runs; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, help="At most so many.")] = 100,
    token: Annotated[
        str | None, typer.Option("--token", metavar="TOKEN", help="The page after the one that gave this token.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="All that match, however many.")] = False,
    only_ids: Annotated[
        bool, typer.Option("--ids", "-q", help="IDs only, one a line: to pipe into other commands.")
    ] = False,
) -> None:
    """List schedules by ID: when they are due next, and how their last run ended.

    Example: durable-ray schedule list --tag team=blue --ids | durable-ray schedule pause - --note holidays
    """
    if everything and token is not None:
        raise usage("--all lists everything: it goes without --token")
    if prefix == "":
        raise usage("--prefix is empty", "leave it out to choose all")
    wanted = ScheduleQuery(prefix or "", _status(status), tags_of(tag or ()))
    shown, following = _page(session.hub, wanted, None if everything else limit, token or None)
    if only_ids:
        for one in shown:
            print(one["schedule_id"])
    elif session.json:
        print_json(shown if token is None else {"schedules": shown, "continuation_token": following})
    elif shown:
        session.out.print(schedules_table(shown, session.out.width))
    else:
        session.note("no schedules" + (" match" if wanted != ScheduleQuery() else ""))
    if following is not None and (token is None or not session.json):
        hint = f"there are more than {limit}; --all shows them, --limit more of them, --token {following} the next"
        session.err.print(hint, style="dim", soft_wrap=True, markup=False, highlight=False)


def describe(session: CommandSession, schedule_id: Id) -> None:
    """Show a schedule: its next ten times, its last runs with their outcome, and why times were skipped."""
    found = session.hub.schedules.get(schedule_id)
    if session.json:
        print_json(found)
    else:
        print_schedule(session.out, found)


def update(
    session: CommandSession,
    schedule_id: Id,
    parts: ScheduleParts,
    orchestrator: Annotated[
        str | None, typer.Option("--orchestrator", metavar="NAME", help="What each run starts.")
    ] = None,
    reset: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION", help="Back to its default: --reset end. May be repeated."),
    ] = None,
    if_version: Annotated[
        int | None, typer.Option("--if-version", help="Only if it still has this version.", show_default=False)
    ] = None,
) -> None:
    """Change parts of a schedule from now on; what is not given stays. Its runs, counts and pauses stay, too.

    Times that are given take the place of all former ones, exclusions that of all exclusions, tags that of all tags. If
    somebody else changes it at the same time, nothing is changed, and the exit code is 4.

    Example: durable-ray schedule update nightly --cron '0 3 * * *' --reset end
    """
    if not parts and orchestrator is None and not reset:
        raise usage("what is to be changed?", "durable-ray schedule update --help lists the options")
    now = session.hub.schedules.get(schedule_id)
    schedule = changed(now["schedule"], parts, reset or ())
    if orchestrator is not None:
        schedule["action"]["orchestrator"] = orchestrator
    version = now["version"] if if_version is None else if_version
    _print_one(session, session.hub.schedules.update(schedule_id, schedule, version), f"updated {schedule_id}")


def delete(session: CommandSession, schedule_ids: Ids) -> None:
    """Delete schedules. Runs under way go on, those that wait are not begun."""
    _each(session, "deleting", schedule_ids, "deleted", session.hub.schedules.delete)


def pause(session: CommandSession, schedule_ids: Ids, note: Note = "") -> None:
    """Let nothing be due until they are resumed. Runs under way go on."""
    _change_each(session, "pause", schedule_ids, "paused", note=note)


def resume(session: CommandSession, schedule_ids: Ids, note: Note = "") -> None:
    """Let times be due again, from now on. Those of the pause are not caught up; backfill runs them."""
    _change_each(session, "resume", schedule_ids, "resumed", note=note)


def trigger(
    session: CommandSession,
    schedule_ids: Ids,
    overlap: Annotated[OverlapOption | None, typer.Option(help="The schedule's, if left out.")] = None,
) -> None:
    """Start a run now, paused or not."""
    _change_each(session, "trigger", schedule_ids, "triggered", overlap=overlap and overlap.value)


def backfill(
    session: CommandSession,
    schedule_id: Id,
    begin: Annotated[str, typer.Option("--begin", metavar="TIME", help="ISO 8601, or 2d: so long ago.")],
    end: Annotated[str, typer.Option("--end", metavar="TIME", help="The same; included.")],
    overlap: Annotated[
        OverlapOption, typer.Option(help="buffer_all: one after the other; allow_all: all at once.")
    ] = OverlapOption.BUFFER_ALL,
) -> None:
    """Run all times due in a span of the past, also those that were run; at most a thousand.

    Example: durable-ray schedule backfill nightly --begin 2030-01-01 --end 2030-01-08
    """
    span = {"begin": when(begin), "end": when(end), "overlap": overlap.value}
    _print_one(session, _change(session, schedule_id, "backfill", span), f"backfilling {schedule_id}")


def _change(session: CommandSession, schedule_id: str, verb: ScheduleVerb, more: dict[str, Any]) -> ScheduleDocument:
    try:
        return session.hub.schedules.change(schedule_id, verb, **more)
    except InvalidState as error:
        hint = "durable-ray schedule describe ID shows how it stands"
        raise CommandError(Exit.CONFLICT, str(error), hint) from error


def _change_each(session: CommandSession, verb: ScheduleVerb, schedule_ids: list[str], done: str, **more: Any) -> None:
    _each(session, verb, schedule_ids, done, lambda schedule_id: _change(session, schedule_id, verb, more))


def _each(session: CommandSession, what: str, schedule_ids: list[str], done: str, act: Callable[[str], object]) -> None:
    acted_on: list[str] = []

    def act_on(schedule_id: str) -> None:
        act(schedule_id)
        acted_on.append(schedule_id)

    failed = act_on_each(session, what, schedule_ids, act_on)
    if acted_on or not failed:
        print_done(session, done, acted_on, "schedules")
    finish(failed)


def _print_one(session: CommandSession, found: ScheduleDocument, said: str) -> None:
    if session.json:
        print_json(found)
        return
    print(said)
    session.note(next_text(found))


def _status(text: str | None) -> ScheduleStatus | None:
    known: dict[str, ScheduleStatus] = {"active": "active", "paused": "paused", "ended": "ended"}
    if text is not None and text.lower() not in known:
        raise usage(f"{text!r} is no status of a schedule", f"write {', '.join(known)}")
    return None if text is None else known[text.lower()]


def _page(
    hub: HubPort, wanted: ScheduleQuery, size: int | None, token: str | None
) -> tuple[list[ScheduleDocument], str | None]:
    """At most `size` schedules after `token` (None: all), and the token that leads on if there are more."""
    found: list[ScheduleDocument] = []
    while True:
        more, token = hub.schedules.page(wanted, _PAGE if size is None else min(_PAGE, size - len(found)), token)
        found += more
        if token is None or len(found) == size:
            return found, token
