"""Writes the stores of this release: `python -m tests.stores.writing`, once, when it is released.

The code of the instances is stored by reference, and for one by value, with its source for other versions of Python. Nothing in
the files tells where they were written.
"""

from __future__ import annotations

import gzip
import linecache
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import durable_ray as dr
from durable_ray import HubSettings, stores
from durable_ray.actors.code import packing
from durable_ray.actors.store.databases.sqlite_file import driver
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.records import InboxMessage
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.orchestrations.authoring.catalog import AnyDefinition, DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.testing import TestHub
from tests.postgres_server import PostgresServer, running_postgres
from tests.sources import ROOT
from tests.stores import shapes

KEPT = ROOT / "tests" / "fixtures" / "stores"
SETTINGS = HubSettings(partitions=2, sweep_interval=0.5)
WRITTEN = datetime(2030, 1, 1, tzinfo=UTC)
#: Made from text, so that no path of the machine is in its code.
BY_VALUE = """
async def valued(ctx, days):
    return [await ctx.call_activity("kept.double", days), await ctx.wait_for_external_event("go")]
"""


def fill(url: str) -> None:
    """A hub with instances of every shape, of which most have not ended."""
    with (
        _by_reference(),
        TestHub(url, start=WRITTEN, auto_advance=False, settings=SETTINGS, definitions=_definitions()) as hub,
    ):
        hub.client.register()
        start = hub.client.start_new
        start(shapes.waiter, "x" * 1500, instance_id="waiter", placement="shared", tags={"team": "blue"})
        start(shapes.waiter, 1, instance_id="dedicated", placement="dedicated", priority=3)
        start("kept.valued", 4, instance_id="valued", placement="shared")
        start(shapes.sleeper, 30, instance_id="sleeper", placement="shared")
        start(shapes.sleeper, 30, instance_id="delayed", placement="shared", start_at=WRITTEN + timedelta(days=2))
        start(shapes.collector, 3, instance_id="collector", placement="shared")
        start(shapes.waiter, 2, instance_id="suspended", placement="shared")
        start(shapes.parent, 5, instance_id="parent", placement="shared")
        start(shapes.eternal, [], instance_id="eternal", placement="shared")
        start(shapes.retrying, 1, instance_id="retrying", placement="shared")
        start(shapes.racer, 9, instance_id="racer", placement="shared")
        for number in range(3):
            start(shapes.single, number, instance_id=f"single-{number}", placement="shared")
        start(shapes.failing, 1, instance_id="failed", placement="shared")
        start(shapes.waiter, 1, instance_id="completed", placement="shared")
        start(shapes.sleeper, 9, instance_id="terminated", placement="shared")
        hub.settle()
        hub.client.raise_event("collector", "item", 1)
        hub.client.raise_event("eternal", "item", 1)
        hub.client.suspend("suspended", "holidays")
        hub.client.raise_event("suspended", "go", {"while": "suspended"})
        hub.client.raise_event("completed", "go", None)
        hub.client.terminate("terminated", "enough")
        hub.client.create_schedule("nightly", shapes.scheduled, 7, spec="0 3 * * *")
        hub.client.pause_schedule("nightly", note="kept")
        hub.settle()
    store = open_store(url)
    row = store.rows(["collector"])["collector"]
    store.commit(None, [InboxMessage("collector", "kept-1", encode_event(ev.EventRaised("item", "2", "kept-1")))])
    assert row.status == "Running"
    assert isinstance(store, SqlStore)
    for table, column in (("history", "body"), ("instances", "failure")):
        anywhere = Statement(f"UPDATE {table} SET {column} = replace({column}, :here, '')")
        store.database.write(lambda session, anywhere=anywhere: session.run(anywhere, here=f"{ROOT}/"))  # type: ignore[misc]
    store.close()


def _definitions() -> DefinitionCatalog:
    found = DefinitionCatalog()
    for each in vars(shapes).values():
        if isinstance(each, Activity | Orchestrator):
            found.register(each)
    linecache.cache["valued.py"] = (len(BY_VALUE), None, BY_VALUE.splitlines(keepends=True), "valued.py")
    world: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(BY_VALUE, "valued.py", "exec"), world)
    found.register(dr.orchestrator(name="kept.valued")(world["valued"]))
    return found


@contextmanager
def _by_reference() -> Iterator[None]:
    """Store the shapes as a package's functions are stored."""
    before = packing.importable_path

    def path(definition: AnyDefinition) -> str | None:
        here = definition.fn.__module__ == shapes.__name__
        return f"{shapes.__name__}:{definition.fn.__name__}" if here else before(definition)

    packing.importable_path = path
    try:
        yield
    finally:
        packing.importable_path = before


def write_sqlite(folder: Path) -> None:
    """The store as `durable-ray backup` copies it."""
    with tempfile.TemporaryDirectory() as name:
        url, copy = f"sqlite:///{name}/hub.db", Path(name) / "copy.db"
        fill(url)
        stores.back_up(url, copy)
        with closing(driver().connect(str(copy))) as connection:
            connection.execute("VACUUM")  # what was changed is still in its free space
        (folder / "sqlite.db.gz").write_bytes(gzip.compress(copy.read_bytes(), mtime=0))


def write_postgresql(folder: Path, server: PostgresServer) -> None:
    """The store as `pg_dump` writes it."""
    server.execute("CREATE DATABASE kept")
    fill(server.url("kept"))
    dump = [str(server.programs / "pg_dump"), "--no-owner", "--no-privileges", "--inserts", server.url("kept")]
    said = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    # psql's own commands and the settings of newer servers are not for older ones.
    lines = [line for line in said.splitlines() if not line.startswith(("\\", "SET ", "SELECT pg_catalog.set_config"))]
    (folder / "postgresql.sql.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


if __name__ == "__main__":
    made = KEPT / dr.__version__
    made.mkdir(parents=True, exist_ok=False)
    write_sqlite(made)
    with running_postgres() as running:
        write_postgresql(made, running)
