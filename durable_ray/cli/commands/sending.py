"""Commands that control instances: events, termination, suspension, rewind, restart, purge.

Most take many IDs; a failure of one is reported, and the others are processed all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from durable_ray.actors.errors import InstanceNotFound
from durable_ray.actors.store.records import FINISHED, InstanceQuery
from durable_ray.cli.exits import CommandError, Exit, problem_of, usage
from durable_ray.cli.hub.port import Verb
from durable_ray.cli.inputs import ids, json_value
from durable_ray.cli.output import print_json
from durable_ray.cli.progress import bar
from durable_ray.cli.session import CommandSession, report

Id = Annotated[str, typer.Argument(metavar="ID", help="The instance's ID.", show_default=False)]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="IDs; - for those piped in.", show_default=False)]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="Why; it is kept in the history.")]

_ERRORS_SHOWN = 10


def raise_event(
    session: CommandSession,
    instance_id: Id,
    event: Annotated[str, typer.Argument(help="The event's name.", show_default=False)],
    data: Annotated[str | None, typer.Argument(metavar="[DATA]", help="JSON, @file or -.", show_default=False)] = None,
) -> None:
    """Send an event to an instance. It waits there until it is asked for.

    Example: durable-ray raise-event order-17 Approval true
    """
    session.hub.raise_event(instance_id, event, json_value(data))
    print_done(session, "raised", [instance_id])


def terminate(
    session: CommandSession,
    instance_ids: Ids,
    reason: Reason = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Their sub-orchestrations too.")] = False,
) -> None:
    """End instances: at their next await, or at once if they wait. The reason becomes their output."""
    _control_each(session, "terminate", instance_ids, reason, "terminated", recursive=recursive)


def suspend(session: CommandSession, instance_ids: Ids, reason: Reason = None) -> None:
    """Pause instances: results and events are kept, their code takes no step."""
    _control_each(session, "suspend", instance_ids, reason, "suspended")


def resume(session: CommandSession, instance_ids: Ids, reason: Reason = None) -> None:
    """Let suspended instances go on."""
    _control_each(session, "resume", instance_ids, reason, "resumed")


def rewind(
    session: CommandSession,
    instance_ids: Ids,
    reason: Reason = None,
    latest: Annotated[bool, typer.Option("--latest", help="On their newest code, if their history fits it.")] = False,
) -> None:
    """Let failed instances try again what failed; what succeeded is kept."""
    _control_each(session, "rewind", instance_ids, reason, "rewound", version="latest" if latest else None)


def restart(
    session: CommandSession,
    instance_ids: Ids,
    same_id: Annotated[
        bool, typer.Option("--same-id", help="In place of the old one, instead of under a new ID.")
    ] = False,
) -> None:
    """Start instances again from the beginning, with their first input. Prints the IDs."""
    started: list[str] = []
    failed = act_on_each(
        session, "restarting", instance_ids, lambda one: started.append(session.hub.restart(one, new_id=not same_id))
    )
    if session.json:
        print_json({"instance_ids": started})
    else:
        for one in started:
            print(one)
    finish(failed)


def purge(
    session: CommandSession,
    wanted: InstanceQuery,
    instance_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID...]", help="IDs; - for those piped in; or a filter.", show_default=False),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Their sub-orchestrations too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete finished instances with their history: those named, or all that match a filter.

    Example: durable-ray purge --status Completed --created-before 30d --yes
    """
    if bool(instance_ids) == (wanted != InstanceQuery()):
        raise usage(
            "say which: either IDs or a filter", "durable-ray purge --status Completed purges all that completed"
        )
    if instance_ids:
        deleted = _purge_named(session, list(ids(instance_ids)), recursive)
    else:
        deleted = _purge_matching(session, wanted, recursive, yes)
    if session.json:
        print_json({"deleted": deleted})
    else:
        print(f"purged {deleted}")


def delete_task_hub(
    session: CommandSession,
    name: Annotated[str, typer.Argument(metavar="HUB", help="The hub's name, once more.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Also if instances have not finished.")] = False,
) -> None:
    """Delete every instance and definition of the hub. The hub goes on, empty."""
    from durable_ray.cli.hub.over_ray import need_ray

    client = need_ray(session.hub, "delete-task-hub").client
    if name != client.hub:
        raise usage(f"this is the hub {client.hub!r}, not {name!r}; nothing was deleted", f"--hub {name}")
    deleted = client.delete_task_hub(name, force=force)
    if session.json:
        print_json({"deleted": deleted})
    else:
        print(f"deleted {deleted} instances")


def _purge_named(session: CommandSession, chosen: list[str], recursive: bool) -> int:
    deleted: list[int] = []

    def purge_one(instance_id: str) -> None:
        number = session.hub.purge(instance_id, recursive=recursive)
        if not number:
            found = session.hub.get(instance_id)
            if found is None:
                raise InstanceNotFound(instance_id)
            raise CommandError(
                Exit.CONFLICT, f"instance {instance_id!r} has not finished ({found.status})", "terminate it first"
            )
        deleted.append(number)

    failed = act_on_each(session, "purging", chosen, purge_one)
    if failed:
        session.note(f"purged {sum(deleted)}")
    finish(failed)
    return sum(deleted)


def _purge_matching(session: CommandSession, wanted: InstanceQuery, recursive: bool, yes: bool) -> int:
    unfinished = [status for status in wanted.statuses if status not in FINISHED]
    if unfinished:
        raise usage(f"{unfinished[0]} instances cannot be purged, only finished ones", "terminate them first")
    wanted = replace(wanted, statuses=wanted.statuses or FINISHED)
    number = session.hub.count(wanted)
    if number and not yes:
        if session.json:
            raise usage(f"{number} instances match", "--yes purges them")
        typer.confirm(f"purge {number} instances?", abort=True, err=True)
    with bar(session, "purging", number) as advance:
        so_far = [0]

        def on_deleted(deleted: int) -> None:
            advance(deleted - so_far[0])
            so_far[0] = deleted

        return session.hub.purge_by(wanted, recursive=recursive, progress=on_deleted)


def _control_each(
    session: CommandSession, verb: Verb, instance_ids: list[str], reason: str | None, done: str, **more: Any
) -> None:
    acted_on: list[str] = []

    def control(instance_id: str) -> None:
        session.hub.control(instance_id, verb, reason, **more)
        acted_on.append(instance_id)

    failed = act_on_each(session, verb, instance_ids, control)
    if acted_on or not failed:
        print_done(session, done, acted_on)
    finish(failed)


def act_on_each(session: CommandSession, what: str, given: list[str], act: Callable[[str], Any]) -> list[CommandError]:
    """Act on each of the IDs; what failed. A single one's error is raised."""
    chosen = list(ids(given))
    failed: list[CommandError] = []
    with bar(session, what, len(chosen)) as advance:
        for instance_id in chosen:
            try:
                act(instance_id)
            except Exception as error:
                problem = problem_of(error)
                failed.append(problem)
                if session.debug or len(chosen) == 1:
                    raise
                if len(failed) <= _ERRORS_SHOWN:
                    report(problem, as_json=session.json)
            advance(1)
    return failed


def print_done(session: CommandSession, done: str, acted_on: list[str], kind: str = "instances") -> None:
    """Say to which it was done."""
    if session.json:
        print_json({done: acted_on})
    elif len(acted_on) == 1:
        print(f"{done} {acted_on[0]}")
    else:
        print(f"{done} {len(acted_on)} {kind}")


def finish(failed: list[CommandError]) -> None:
    """The exit code of the first that failed."""
    if failed:
        raise typer.Exit(int(failed[0].code))
