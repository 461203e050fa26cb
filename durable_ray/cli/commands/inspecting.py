"""Commands that show one instance: its status, its history, its progress."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from durable_ray.actors.clock import monotonic
from durable_ray.actors.errors import InstanceNotFound
from durable_ray.actors.store.records import LIVE, InstanceQuery
from durable_ray.cli.commands.filters import matching
from durable_ray.cli.exits import Exit
from durable_ray.cli.hub.port import InstanceView
from durable_ray.cli.inputs import duration
from durable_ray.cli.output import (
    as_json,
    counts_table,
    detail,
    event_json,
    history_table,
    instances_table,
    print_instance,
    print_json,
    print_json_line,
    short,
    status_text,
    utc,
)
from durable_ray.cli.session import CommandSession
from durable_ray.client.json_views import counts_json

Id = Annotated[str, typer.Argument(metavar="ID", help="The instance's ID.", show_default=False)]
_SLICE = 9.0


def status(
    session: CommandSession,
    instance_id: Id,
    history_too: Annotated[bool, typer.Option("--history", help="With its history.")] = False,
) -> None:
    """Show the status of an instance."""
    found = known(session, instance_id, history=history_too)
    if session.json:
        print_json(as_json(found))
        return
    print_instance(session.out, found)
    if found.history is not None:
        session.out.print(history_table(found.history, session.out.width))


def history(session: CommandSession, instance_id: Id) -> None:
    """Show what happened to an instance in its current execution."""
    events = known(session, instance_id, history=True).history or ()
    if session.json:
        print_json([event_json(event) for event in events])
    else:
        session.out.print(history_table(events, session.out.width))


def wait(
    session: CommandSession,
    instance_id: Id,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Give up after 90s, 5m, …")
    ] = None,
) -> None:
    """Wait for an instance to end and print its output. Exit code 6: it failed or was terminated; 7: not in time."""
    print_end(session, await_end(session, instance_id, None if timeout is None else duration(timeout).total_seconds()))


def await_end(session: CommandSession, instance_id: str, seconds: float | None) -> InstanceView:
    """Wait for an instance to end. Raises TimeoutError, InstanceNotFound."""
    until = None if seconds is None else monotonic() + seconds
    busy = session.err.status(Text(f"waiting for {instance_id}")) if session.lively else nullcontext()
    with busy:
        while True:
            left = _SLICE if until is None else min(_SLICE, max(until - monotonic(), 0.05))
            if session.hub.wait(instance_id, left):
                return known(session, instance_id)
            if until is not None and monotonic() >= until:
                stands = known(session, instance_id)
                waits = "; ".join(wait["text"] for wait in (stands.waiting_for or ())[:3])
                waiting = f" and waits for {waits}" if waits else ""
                raise TimeoutError(
                    f"instance {instance_id!r} has not finished after {seconds:g} s; it is {stands.status}{waiting}"
                )


def print_end(session: CommandSession, ended: InstanceView) -> None:
    """Print the output of a finished instance. Exits with `Exit.FAILED` unless it completed."""
    if session.json:
        print_json(as_json(ended))
    elif ended.status == "Completed":
        print_json(ended.output)
    else:
        session.err.print(status_text(ended.status), Text(short(ended.output, 2000)))
    if ended.status != "Completed":
        raise typer.Exit(Exit.FAILED)


def known(session: CommandSession, instance_id: str, *, history: bool = False) -> InstanceView:
    """An instance that has to exist."""
    found = session.hub.get(instance_id, history=history)
    if found is None:
        raise InstanceNotFound(instance_id)
    return found


def watch(
    session: CommandSession,
    instance_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="An instance; without: the hub.")] = None,
    interval: Annotated[float, typer.Option("--interval", min=0.05, help="Seconds between two polls.")] = 1.0,
    looks: Annotated[int | None, typer.Option("--looks", min=1, help="Stop after so many polls.")] = None,
) -> None:
    """Follow an instance until it ends (each new event a line), or the whole hub until Ctrl-C."""
    if instance_id is None:
        _watch_hub(session, interval, looks)
    else:
        _watch_instance(session, instance_id, interval, looks)


def _watch_instance(session: CommandSession, instance_id: str, interval: float, looks: int | None) -> None:
    seen, execution, last, number = 0, "", "", 0
    while True:
        found = known(session, instance_id, history=True)
        events = found.history or ()
        if found.execution_id != execution:
            seen, execution = 0, found.execution_id
        for event in events[seen:]:
            if session.json:
                print_json_line({"event": event_json(event)})
            else:
                what = " ".join(filter(None, (f"{event.kind:<20}", event.name, detail(event.data))))
                session.out.print(Text(f"{utc(event.at)[11:]}  {what}"), no_wrap=True, overflow="ellipsis", crop=True)
        seen = len(events)
        now = f"{found.status} {short(found.custom_status)}".strip()
        if now != last:
            last = now
            if session.json:
                print_json_line({"status": as_json(replace(found, history=None))})
            else:
                session.out.print(Text(f"{utc(found.updated_at)[11:]}  "), status_text(now), sep="")
        number += 1
        if found.finished:
            return print_end(session, found)
        if looks is not None and number >= looks:
            return None
        # Returns at once when it ends; else the next poll is after the interval.
        session.hub.wait(instance_id, interval)


def _watch_hub(session: CommandSession, interval: float, looks: int | None) -> None:
    pause = _Pauses(interval, looks)
    if session.json:
        while True:
            print_json_line(counts_json(session.hub.counts()))
            if not pause():
                return
    with Live(console=session.out, auto_refresh=False, transient=False) as live:
        while True:
            room = max(3, session.out.height - 12)
            unfinished = InstanceQuery(statuses=LIVE)
            running = list(matching(session.hub, unfinished, room))
            live.update(
                Group(counts_table(session.hub.counts()), instances_table(running, session.out.width)), refresh=True
            )
            if not pause():
                return


class _Pauses:
    """The pauses between polls; False when there were enough polls."""

    def __init__(self, seconds: float, looks: int | None) -> None:
        self._seconds = seconds
        self._left = looks

    def __call__(self) -> bool:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                return False
        time.sleep(self._seconds)
        return True
