"""A process with instances that kill it and some that do not: to be run until it lives. Not a test itself.

Usage: python poisoned.py FOLDER
"""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from pathlib import Path
from unittest import mock

import durable_ray as dr
import durable_ray.actors.cluster.in_process
from durable_ray.actors.errors import InstanceFinished, OrchestrationFailed
from durable_ray.actors.host.crash_marker import FileMarker
from durable_ray.actors.settings import HubSettings
from durable_ray.testing import TestHub


@dr.orchestrator(name="poison")
async def poison(ctx: dr.OrchestrationContext) -> None:
    await ctx.wait_for_external_event("go")
    os._exit(66)


@dr.orchestrator(name="poison.first")
async def poison_at_once(ctx: dr.OrchestrationContext) -> None:
    os._exit(67)


@dr.orchestrator(name="poison.no_more", max_recoveries=0)
async def poison_once(ctx: dr.OrchestrationContext) -> None:
    os._exit(68)


@dr.orchestrator(name="harmless")
async def harmless(ctx: dr.OrchestrationContext, number: int) -> int:
    for _ in range(2):
        number += await ctx.wait_for_external_event("go")
    return number


def main(folder: Path) -> None:
    settings = HubSettings(partitions=1, sweep_interval=0.1, max_recoveries=2)
    with (
        mock.patch.object(durable_ray.actors.cluster.in_process, "NoMarker", partial(FileMarker, folder / "marker")),
        TestHub(f"sqlite:///{folder / 'hub.db'}", settings=settings) as hub,
    ):
        client = hub.client
        names = [f"n{number}" for number in range(3)]
        for number, name in enumerate(names):
            if client.get_status(name) is None:
                client.start_new(harmless, number, instance_id=name, placement="shared")
                client.raise_event(name, "go", 1)
        for name, code in (("p1", poison), ("p2", poison_at_once), ("p3", poison_once)):
            if client.get_status(name) is None:
                client.start_new(code, instance_id=name, placement="shared")
            if name == "p1":
                with contextlib.suppress(InstanceFinished):
                    client.raise_event(name, "go")
            try:
                client.wait_for_completion(name, 20)
            except OrchestrationFailed as error:
                print(name, error.details.error_type)
        for name in names:
            client.raise_event(name, "go", 10)
        print([client.wait_for_completion(name, 20) for name in names])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
