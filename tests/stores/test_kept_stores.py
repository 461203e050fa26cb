"""Every release opens the stores that earlier ones wrote, and finishes all that is in them."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import durable_ray as dr
from durable_ray import stores
from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.databases.revision import REVISION
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.records import LIVE, InstanceQuery
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.testing import TestHub
from tests.postgres_server import PostgresServer
from tests.stores.writing import KEPT, SETTINGS, WRITTEN

RELEASES = sorted(path.name for path in KEPT.iterdir() if path.is_dir())


def in_sqlite(release: str, folder: Path) -> str:
    backup = folder / "kept.db"
    backup.write_bytes(gzip.decompress((KEPT / release / "sqlite.db.gz").read_bytes()))
    url = f"sqlite:///{folder / 'hub.db'}"
    stores.restore(backup, url)
    return url


def in_postgresql(release: str, url: str, server: PostgresServer) -> str:
    text = gzip.decompress((KEPT / release / "postgresql.sql.gz").read_bytes())
    subprocess.run(
        [str(server.programs / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={url}"],
        input=text, check=True, capture_output=True,
    )  # fmt: skip
    return url


def finishes(url: str, release: str) -> None:
    """Nothing is amiss in it, and every instance ends as it would have."""
    assert list(stores.audit(url)) == []
    later = WRITTEN + timedelta(days=1)
    expected: dict[str, Any] = {
        "waiter": [42, 1, 1500],
        "dedicated": [42, 1, 1],
        "sleeper": "slept",
        "delayed": "slept",
        "collector": [1, 2, 3],
        "suspended": [42, {"while": "suspended"}, 1],
        "parent": [[42, 1, 1], "slept"],
        "eternal": [1, 2],
        "retrying": "fine",
        "racer": "timer",
        "single-0": 1,
        "single-1": 2,
        "single-2": 3,
        "completed": [42, None, 1],
        "valued": [8, 1],
    }
    with TestHub(url, start=later, settings=SETTINGS, definitions=DefinitionCatalog()) as hub:
        client = hub.client
        for instance_id in ("waiter", "dedicated", "parent-1", "valued"):
            client.raise_event(instance_id, "go", 1)
        client.raise_event("collector", "item", 3)
        for item in (2, "stop"):
            client.raise_event("eternal", "item", item)
        client.resume("suspended")
        client.trigger_schedule("nightly")
        for number in range(3):
            client.raise_event(f"single-{number}", "go", 1)
        assert {name: client.wait_for_completion(name, timeout=20) for name in expected} == expected
        with pytest.raises(dr.OrchestrationFailed, match="ValueError"):
            client.wait_for_completion("failed", timeout=20)
        with pytest.raises(dr.OrchestrationTerminated):
            client.wait_for_completion("terminated", timeout=20)
        hub.settle()
        assert hub.store.query(InstanceQuery(statuses=LIVE), 50).rows == ()
        (run,) = hub.store.query(InstanceQuery(names=("kept.scheduled",)), 5).rows
        assert run.output == "7"
        assert client.list_instances(tags={"team": "blue"})[0].instance_id == "waiter"
    assert list(stores.audit(url)) == []


@pytest.mark.parametrize("release", RELEASES)
def test_a_sqlite_store_of_each_release_is_finished(release: str, tmp_path: Path) -> None:
    finishes(in_sqlite(release, tmp_path), release)


@pytest.mark.postgres
@pytest.mark.parametrize("release", RELEASES)
def test_a_postgresql_store_of_each_release_is_finished(
    release: str, postgres_url: str, postgres_server: PostgresServer
) -> None:
    finishes(in_postgresql(release, postgres_url, postgres_server), release)


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_in_them_tells_where_they_were_written(release: str) -> None:
    for file in (KEPT / release).iterdir():
        text = gzip.decompress(file.read_bytes())
        assert not any(place in text for place in (b"/tmp/", b"/home/", b"/root", b"/work")), file


def test_this_release_is_kept() -> None:
    """The script writes it: `python -m tests.stores.writing`."""
    assert dr.__version__ in RELEASES


def test_an_older_release_refuses_a_newer_store_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    url = in_sqlite(RELEASES[-1], tmp_path)
    store = open_store(url)
    assert isinstance(store, SqlStore)
    store.database.write(lambda session: session.plain("UPDATE durable_ray_version SET version_num = '9999'"))
    store.close()
    before = (tmp_path / "hub.db").read_bytes()
    with pytest.raises(
        StoreUnusable, match=rf"has schema 9999, this release knows up to {REVISION}; upgrade durable_ray"
    ):
        open_store(url)
    with pytest.raises(StoreUnusable, match="has schema 9999"):
        stores.back_up(url, tmp_path / "backup.db")
    assert (tmp_path / "hub.db").read_bytes() == before
    shutil.copy(tmp_path / "hub.db", tmp_path / "newer.db")
    with pytest.raises(StoreUnusable, match="has schema 9999"):
        stores.restore(tmp_path / "newer.db", f"sqlite:///{tmp_path / 'other.db'}", whole=True)
