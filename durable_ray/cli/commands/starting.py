"""`start`: one instance, or one for each of many inputs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from durable_ray.cli.commands.choices import IfExistsOption, PlacementOption
from durable_ray.cli.commands.inspecting import await_end, print_end
from durable_ray.cli.exits import usage
from durable_ray.cli.inputs import duration, json_value, json_values, tags, when
from durable_ray.cli.output import print_json
from durable_ray.cli.progress import bar
from durable_ray.cli.session import CommandSession
from durable_ray.client.operations.starting import StartKeywords

_BATCH = 200


def start(
    session: CommandSession,
    orchestrator: Annotated[str, typer.Argument(help="Name under which it is deployed.", show_default=False)],
    input_: Annotated[
        str | None, typer.Argument(metavar="[INPUT]", help="JSON, @file, or - for standard input.", show_default=False)
    ] = None,
    instance_id: Annotated[str | None, typer.Option("--id", help="Its ID; a random one if left out.")] = None,
    if_exists: Annotated[
        IfExistsOption, typer.Option(help="If the ID belongs to an instance that has not finished.")
    ] = IfExistsOption.REJECT,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Not before: ISO 8601, or 10m: from now.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", metavar="KEY=VALUE", help="May be repeated.")] = None,
    placement: Annotated[PlacementOption | None, typer.Option(help="An actor of its own, or a shared one.")] = None,
    version: Annotated[str | None, typer.Option(help="The orchestrator's version; the newest if left out.")] = None,
    priority: Annotated[int | None, typer.Option(help="Of those that wait for an actor the higher goes first.")] = None,
    each: Annotated[
        bool, typer.Option("--each", help="INPUT is a JSON array or JSON lines: one instance for each.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for its end and print its output.")] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="With --wait: give up after 90s, 5m, …")
    ] = None,
) -> None:
    """Start an orchestration; it is durable when this returns. Prints its ID.

    Example: durable-ray start hello_cities '["Tokyo", "Seattle"]' --id hello --wait
    """
    options: StartKeywords = {
        "if_exists": if_exists.value,
        "start_at": None if at is None else when(at, ahead=True),
        "tags": tags(tag or ()),
        "placement": placement.value if placement else None,
        "version": version,
        "priority": priority,
    }
    if each:
        if instance_id is not None or wait:
            raise usage("--each starts many: it goes with neither --id nor --wait")
        _start_each(session, orchestrator, json_values(input_ or "-"), options)
        return
    started = session.hub.start(orchestrator, json_value(input_), instance_id, options)
    if wait:
        seconds = None if timeout is None else duration(timeout).total_seconds()
        session.note(started)
        print_end(session, await_end(session, started, seconds))
    elif session.json:
        print_json({"instance_ids": [started]})
    else:
        print(started)


def _start_each(session: CommandSession, orchestrator: str, inputs: list[Any], options: StartKeywords) -> None:
    started: list[str] = []
    with bar(session, "starting", len(inputs)) as advance:
        for first in range(0, len(inputs), _BATCH):
            batch = inputs[first : first + _BATCH]
            started += session.hub.start_many(orchestrator, batch, options)
            advance(len(batch))
    if session.json:
        print_json({"instance_ids": started})
    else:
        print(*started, sep="\n")
