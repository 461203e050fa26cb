"""Commands for the hub itself: start it, stop it, deploy code to it, serve it over HTTP."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from durable_ray.cli.exits import usage
from durable_ray.cli.loading import load
from durable_ray.cli.output import plain, print_facts, print_json, print_json_line
from durable_ray.cli.session import CommandSession
from durable_ray.orchestrations.authoring.catalog import AnyDefinition, catalog

App = Annotated[
    str,
    typer.Argument(
        metavar="MODULE_OR_FILE",
        help="Where the functions are; also the folder of an Azure Functions app.",
        show_default=False,
    ),
]


def up(
    session: CommandSession,
    ray_arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- RAY OPTIONS]", help="Given to `ray start` if Ray has to be started.", show_default=False
        ),
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Only join the Ray that runs on this machine; start none.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Start a Ray for the hub even if another one runs on this machine.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of the Ray that is started.")] = 6379,
) -> None:
    """Bring the hub up: on the Ray that is named or runs here, else on one that is started for it. Prints where it runs.

    Instances that had not finished go on. Doing it twice does no harm.
    """
    from durable_ray.cli.hub.cluster import bring_up

    if join and new:
        raise usage("--join and --new are opposites")
    if join and ray_arguments:
        raise usage("--join starts no Ray, so there is nobody to give its options to")
    with _busy(session, "bringing the hub up"):
        standing = bring_up(session.settings, join=join, new=new, port=port, ray_arguments=ray_arguments or ())
        counts = standing.hub.counts()
    live = sum(number for (_, status), number in counts.items() if status in ("Pending", "Running", "Suspended"))
    if session.json:
        shown = {"started_ray": standing.started_ray, "was_up": standing.was_up, "unfinished": live, **standing.facts}
        print_json({_key(key): value for key, value in shown.items()})
        return
    print_facts(
        session.out, [*((key, plain(value)) for key, value in standing.facts.items()), ("unfinished", str(live))]
    )
    session.note(
        "it was up already" if standing.was_up else "next: durable-ray deploy FILE, durable-ray serve --detach"
    )


def down(
    session: CommandSession,
    keep_ray: Annotated[bool, typer.Option("--keep-ray", help="Leave the Ray that `up` started running.")] = False,
) -> None:
    """Take the hub down: its own actors and, if `up` started it, Ray. Nothing is lost: the next `up` goes on."""
    from durable_ray.cli.hub.cluster import take_down

    with _busy(session, "taking the hub down"):
        stopped = take_down(session.settings, keep_ray=keep_ray)
    if session.json:
        print_json({"stopped": stopped.actors, "ray_process": stopped.ray_pid, "other_hubs": stopped.others})
        return
    print(f"stopped {len(stopped.actors)} actors of the hub {session.settings.hub}")
    if stopped.ray_pid:
        print(f"stopped Ray (process {stopped.ray_pid})")
    if stopped.others:
        session.note(f"Ray goes on: it has the hub {', '.join(stopped.others)} too")


def deploy(session: CommandSession, module_or_file: App) -> None:
    """Give the hub the orchestrators and activities of a module or file.

    Instances that run already keep the orchestrator they began with; new ones take the newest.
    """
    from durable_ray.cli.hub.over_ray import need_ray

    hub = need_ray(session.hub, "deploy")
    found = definitions_of(module_or_file)
    before = {(one.kind, one.name, one.version): one.code_id for one in hub.definitions()}
    with _busy(session, "deploying"):
        hub.client.register(*found)
    after = {(one.kind, one.name, one.version): one for one in hub.definitions()}
    rows = []
    for definition in found:
        one = after[definition.kind, definition.name, definition.version]
        old = before.get((one.kind, one.name, one.version))
        change = "new" if old is None else "unchanged" if old == one.code_id else "changed"
        rows.append(
            {"kind": one.kind, "name": one.name, "version": one.version, "code_id": one.code_id, "change": change}
        )
    if session.json:
        print_json(rows)
        return
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "version", "code", "change"):
        made.add_column(column, overflow="fold", no_wrap=column != "name")
    for row in rows:
        made.add_row(row["kind"], plain(row["name"]), plain(row["version"]), row["code_id"][:12], row["change"])
    session.out.print(made)


def serve(
    session: CommandSession,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1 if left out.", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(help="7071 if left out; 0: any.", min=0, max=65535)] = None,
    app: Annotated[str | None, typer.Option(metavar="MODULE_OR_FILE", help="Deploy this first.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="In an actor of the cluster, which goes on by itself.")
    ] = False,
) -> None:
    """Serve the hub over HTTP: Durable Functions' management API and typed resources under /api/v1.

    In the foreground until Ctrl-C, or with --detach as an actor that `durable-ray down` ends.
    """
    from durable_ray.cli.hub.gateway import serve_here, serve_in_cluster
    from durable_ray.cli.hub.over_ray import need_ray

    if app is not None:
        need_ray(session.hub, "serve").client.register(*definitions_of(app))
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}

    def ready(url: str, keys: str) -> None:
        if session.json:
            print_json_line({"url": url, "keys": keys})
            return
        session.out.print(f"listening on {url}", markup=False, soft_wrap=True)
        session.note(f"its keys are in {keys}")
        session.note(f"try: durable-ray list --url {url}")

    if detach:
        with _busy(session, "starting the gateway"):
            url, keys = serve_in_cluster(session.settings, given)
        ready(url, keys)
    else:
        serve_here(session.settings, given, ready)


def definitions_of(module_or_file: str) -> tuple[AnyDefinition, ...]:
    """What a module or file declares. Raises CommandError if that is nothing."""
    before, _ = catalog.changes(0)
    load(module_or_file)
    _, found = catalog.changes(before)
    if not found:
        raise usage(
            f"{module_or_file} defines nothing",
            "decorate functions with @durable_ray.orchestrator or @durable_ray.activity",
        )
    return found


def _busy(session: CommandSession, what: str) -> Any:
    return session.err.status(what) if session.lively else nullcontext()


def _key(label: str) -> str:
    """`Ray's log` as a key of JSON: ray_log."""
    return label.replace("'s", "").replace(" ", "_").lower()
