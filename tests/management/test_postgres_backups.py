"""The recipes of docs/operations.md for PostgreSQL, run while a hub works: what was acknowledged before is in the copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from durable_ray import HubSettings
from durable_ray.actors.store.sql.checks import check
from durable_ray.testing import TestHub
from tests.management import shapes
from tests.postgres_server import ACCOUNT, PostgresServer, _free_port

SETTINGS = HubSettings(partitions=2, sweep_interval=0.5)

pytestmark = pytest.mark.postgres


def under_load(url: str, copy: Callable[[], None]) -> list[str]:
    """Call `copy` while instances are started one after the other; the IDs that were acknowledged before."""
    acknowledged: list[str] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            acknowledged.append(hub.client.start_new(shapes.waiter, "go").instance_id)

    with TestHub(url, settings=SETTINGS) as hub:
        thread = threading.Thread(target=work)
        thread.start()
        while len(acknowledged) < 20:
            threading.Event().wait(0.01)
        before = list(acknowledged)
        copy()
        over.set()
        thread.join()
    return before


def finishes(url: str, instance_ids: list[str]) -> None:
    """A hub on the copy has these, and finishes them."""
    with TestHub(url, settings=SETTINGS) as hub:
        for instance_id in instance_ids:
            hub.client.raise_event(instance_id, "go", 1)
        for instance_id in instance_ids:
            assert hub.client.wait_for_completion(instance_id, timeout=20) == 1
        hub.settle()
        assert check(hub.store) == []


def test_a_dump_has_all_that_was_acknowledged(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    dump = tmp_path / "hub.dump"

    def pg(program: str, *arguments: str) -> None:
        subprocess.run([str(postgres_server.programs / program), *arguments], check=True, timeout=60)

    before = under_load(postgres_url, lambda: pg("pg_dump", "--format=custom", f"--file={dump}", postgres_url))
    name = f"test_{uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    try:
        url = postgres_server.url(name)
        pg("pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={url}", str(dump))
        finishes(url, before)
    finally:
        postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_base_backup_has_all_that_was_acknowledged(postgres_url: str, postgres_server: PostgresServer) -> None:
    folder = postgres_server.folder / f"copy-{uuid4().hex}"
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, ACCOUNT)
    copy = PostgresServer(postgres_server.programs, folder, _free_port())
    reach = f"--dbname={postgres_server.url()}"
    before = under_load(
        postgres_url, lambda: copy._run("pg_basebackup", reach, "--checkpoint=fast", "--wal-method=stream")
    )
    copy.start()
    try:
        finishes(copy.url(postgres_url.rpartition("/")[2]), before)
    finally:
        copy.stop("immediate")
