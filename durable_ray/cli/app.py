"""The `durable-ray` application: its commands, and the connection to the hub that the settings choose."""

from __future__ import annotations

from typing import Any

import typer

from durable_ray.cli.commands import (
    checking,
    doctor,
    inspecting,
    listing,
    running,
    schedules,
    sending,
    starting,
    stores,
)
from durable_ray.cli.func_names import FuncAware, add_func_names
from durable_ray.cli.hub.port import HubPort
from durable_ray.cli.session import before_commands, command
from durable_ray.config import ClientSettings

app = typer.Typer(
    name="durable-ray",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 conflict, 5 unavailable, "
    "6 the awaited instance failed, 7 timeout, 8 key refused.",
)

_PANELS: dict[str, dict[str, Any]] = {
    "The hub": {
        "up": running.up,
        "down": running.down,
        "serve": running.serve,
        "deploy": running.deploy,
        "definitions": listing.definitions,
        "doctor": doctor.doctor,
    },
    "Instances": {
        "start": starting.start,
        "status": inspecting.status,
        "list": listing.list_,
        "count": listing.count,
        "history": inspecting.history,
        "watch": inspecting.watch,
        "wait": inspecting.wait,
    },
    "Control": {
        "raise-event": sending.raise_event,
        "terminate": sending.terminate,
        "suspend": sending.suspend,
        "resume": sending.resume,
        "rewind": sending.rewind,
        "restart": sending.restart,
        "purge": sending.purge,
        "delete-task-hub": sending.delete_task_hub,
    },
    "The data": {
        "backup": stores.backup,
        "restore": stores.restore,
        "migrate-store": stores.migrate_store,
        "audit": stores.audit,
        "export": checking.export,
        "replay": checking.replay,
        "check": checking.check,
    },
}

_SCHEDULE: dict[str, Any] = {
    "create": schedules.create,
    "list": schedules.list_,
    "describe": schedules.describe,
    "update": schedules.update,
    "pause": schedules.pause,
    "resume": schedules.resume,
    "trigger": schedules.trigger,
    "backfill": schedules.backfill,
    "delete": schedules.delete,
}


def open_hub(settings: ClientSettings) -> HubPort:
    """Reach the hub: over HTTP if the settings name a gateway, else over Ray. Only what is used is imported."""
    if settings.url:
        from durable_ray.cli.hub.over_http import open_http_hub

        return open_http_hub(settings)
    from durable_ray.cli.hub.over_ray import open_ray_hub

    return open_ray_hub(settings)


def _root() -> None:
    """Durable orchestrations on Ray: start, inspect, control and repair them."""


app.callback()(before_commands(_root, open_hub))
for _panel, _commands in _PANELS.items():
    for _name, _function in _commands.items():
        app.command(_name, cls=FuncAware, rich_help_panel=_panel)(command(_function))
schedule_app = typer.Typer(no_args_is_help=True)
for _name, _function in _SCHEDULE.items():
    schedule_app.command(_name)(command(_function))
app.add_typer(
    schedule_app,
    name="schedule",
    help="Start orchestrations by the clock: create, list, describe, update, pause, resume, trigger, backfill, delete.",
    rich_help_panel="Schedules",
)
add_func_names(app)


def main() -> None:
    """The entry point of `durable-ray` and of `python -m durable_ray`."""
    app(prog_name="durable-ray")
