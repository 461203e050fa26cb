"""`doctor`: what is there, what is missing, what is stuck, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from durable_ray.actors.store.records import LIVE, InstanceQuery
from durable_ray.cli.commands.filters import matching
from durable_ray.cli.exits import Exit, one_line, problem_of
from durable_ray.cli.health import CheckResult, damaged, hub_findings, stuck, unplaced
from durable_ray.cli.inputs import now
from durable_ray.cli.output import print_json
from durable_ray.cli.session import CommandSession

#: Instances with activities under way that are asked one by one what they wait for.
_MOST_ASKED = 100
_MARKS = {"ok": Text("✓", "green"), "warning": Text("!", "yellow"), "problem": Text("✗", "red")}


def doctor(
    session: CommandSession,
    most: Annotated[int, typer.Option("--most", min=1, help="Examine at most so many unfinished instances.")] = 10_000,
) -> None:
    """Check this machine, Ray, the hub, its store and its instances. Exit code 1: something needs repair.

    Changes nothing, starts nothing.
    """
    found: list[CheckResult] = []
    for finding in _findings(session, most):
        found.append(finding)
        if not session.json:
            _print(session, finding)
    if session.json:
        print_json([asdict(finding) for finding in found])
    if any(finding.level == "problem" for finding in found):
        raise typer.Exit(Exit.FAILURE)


def _findings(session: CommandSession, most: int) -> Iterator[CheckResult]:
    from durable_ray.cli.hub.over_ray import RayHub

    if session.settings.url is None:
        from durable_ray.cli import health_ray

        yield from health_ray.machine(session.settings)
        yield from health_ray.store(session.settings.store, session.settings.hub)
        for finding in health_ray.cluster(session.settings):
            yield finding
            if finding.level == "problem":
                return
    try:
        hub = session.hub
        where = ", ".join(f"{name} {value}" for name, value in hub.where.items())
        yield from [CheckResult("ok", "hub", where), *hub_findings(hub)]
    except Exception as error:
        if session.debug:
            raise
        problem = problem_of(error)
        yield CheckResult("problem", "hub", str(problem), problem.hint)
        return
    live = InstanceQuery(statuses=LIVE)
    reported: set[str] = set()
    instances = list(islice(matching(hub, live), most))
    for finding in stuck(instances, now()):
        reported.add(finding.subject)
        yield finding
    if isinstance(hub, RayHub):
        busy = (hub.get(one.instance_id) for one in islice((one for one in instances if one.outstanding), _MOST_ASKED))
        yield from unplaced(filter(None, busy))
        yield from (finding for finding in damaged(hub.damaged(most)) if finding.subject not in reported)


def _print(session: CommandSession, finding: CheckResult) -> None:
    line = Text.assemble(_MARKS[finding.level], " ", (f"{finding.subject}: ", "bold"), one_line(finding.detail))
    session.out.print(line, soft_wrap=True)
    if finding.remedy:
        session.out.print(Text.assemble("  → ", finding.remedy), style="yellow", soft_wrap=True)
