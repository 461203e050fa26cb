"""Backups of a SQLite store whose hub works: all that was acknowledged is in them, and a hub on a restored one finishes it."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from durable_ray import HubSettings, InstanceFinished
from durable_ray.actors.store.contract import Store, StoreUnusable
from durable_ray.actors.store.copies.backups import back_up, restore
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.sql.checks import check
from durable_ray.testing import TestHub
from tests.management import shapes
from tests.store_contract.building import made, row, start

SETTINGS = HubSettings(partitions=2, sweep_interval=0.5)


def at(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    """A store with one instance, open."""
    opened = open_store(at(tmp_path / "store.db"))
    opened.acquire_hub("durable_ray", "c", "10.0.0.1:6379", 5_000_000, 2, SETTINGS.settled().to_json())
    made(opened, start("a"))
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path, opened: Store) -> Path:
    """Its file. The last commits are still in the log, for the file is open."""
    return tmp_path / "store.db"


def test_a_backup_under_load_has_all_that_was_acknowledged_and_its_hub_finishes_it(tmp_path: Path) -> None:
    """Four threads start instances and raise their events while three backups are made; each backup is held to its word."""
    acknowledged: list[tuple[str, str]] = []
    over = threading.Event()
    path = tmp_path / "hub.db"

    def work(hub: TestHub, number: int) -> None:
        for turn in range(10_000):
            if over.is_set():
                return
            handle = hub.client.start_new(shapes.waiter, "go", instance_id=f"w-{number}-{turn}", placement="shared")
            acknowledged.append((handle.instance_id, "started"))
            if turn % 2:
                handle.raise_event("go", turn)
                acknowledged.append((handle.instance_id, "told"))

    backups: list[tuple[Path, list[tuple[str, str]]]] = []
    with TestHub(at(path), settings=SETTINGS) as hub:
        threads = [threading.Thread(target=work, args=(hub, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for number in range(3):
            while len(acknowledged) < 25 * (number + 1):
                threading.Event().wait(0.01)
            before = list(acknowledged)
            backups.append((tmp_path / f"backup-{number}.db", before))
            back_up(at(path), backups[-1][0])
        over.set()
        for thread in threads:
            thread.join()
    for number, (backup, before) in enumerate(backups):
        restored = tmp_path / f"restored-{number}.db"
        facts = restore(backup, at(restored))
        with TestHub(at(restored), settings=SETTINGS) as again:
            started = {instance_id for instance_id, what in before if what == "started"}
            assert len(started) <= facts.instances
            rows = again.store.rows(sorted(started))
            assert rows.keys() == started
            told = {instance_id: int(instance_id.rpartition("-")[2]) for instance_id, what in before if what == "told"}
            for instance_id, turn in told.items():
                assert again.client.get_handle(instance_id).wait_for_completion(timeout=20) == turn
            for instance_id in started - told.keys():
                with suppress(
                    InstanceFinished
                ):  # its event is in the backup, and was acknowledged after that had begun
                    again.client.raise_event(instance_id, "go", "late")
                assert again.client.get_handle(instance_id).wait_for_completion(timeout=20) is not None
            again.settle()
            assert check(again.store) == []


def test_nothing_is_overwritten(tmp_path: Path, store: Path) -> None:
    backup = tmp_path / "backup.db"
    back_up(at(store), backup)
    before = backup.read_bytes()
    with pytest.raises(StoreUnusable, match="nothing is overwritten"):
        back_up(at(store), backup)
    assert backup.read_bytes() == before
    with pytest.raises(StoreUnusable, match=r"there is .*store\.db already, and nothing is overwritten"):
        restore(backup, at(store))
    stray = tmp_path / "other.db-wal"
    stray.write_bytes(b"the log of a store that was moved away alone")
    with pytest.raises(StoreUnusable, match=r"other\.db-wal already"):
        restore(backup, at(tmp_path / "other.db"))
    assert sorted(path.name for path in tmp_path.iterdir() if "part" in path.name) == []


def test_a_backup_is_its_owners_alone_and_one_file(tmp_path: Path, store: Path) -> None:
    found = back_up(at(store), tmp_path / "backup.db")
    assert (found.hub, found.address, found.instances, found.unfinished) == ("durable_ray", "10.0.0.1:6379", 1, 1)
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("backup")] == ["backup.db"]


def test_a_backup_is_not_opened_before_it_is_restored(tmp_path: Path, store: Path) -> None:
    backup = tmp_path / "backup.db"
    back_up(at(store), backup)
    with pytest.raises(StoreUnusable, match="durable-ray restore"):
        open_store(at(backup))
    shutil.copy(backup, tmp_path / "copied.db")
    with pytest.raises(StoreUnusable, match="is a backup, which a hub must not change"):
        open_store(at(tmp_path / "copied.db"))


def test_a_file_that_was_copied_without_its_log_is_refused(tmp_path: Path, store: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(store, copy)
    with sqlite3.connect(copy) as seen:  # what would have opened silently
        assert seen.execute("SELECT count(*) FROM sqlite_master WHERE name = 'instances'").fetchone() == (0,)
    with pytest.raises(StoreUnusable, match=r"may have been left behind in copy\.db-wal"):
        open_store(at(copy))
    assert not (tmp_path / "copy.db.writers").exists()
    with pytest.raises(StoreUnusable, match="not made by `durable-ray backup`"):
        restore(copy, at(tmp_path / "restored.db"))


def test_a_file_that_was_copied_with_its_log_has_all(tmp_path: Path, store: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(store, copy)
    shutil.copy(store.with_name("store.db-wal"), tmp_path / "copy.db-wal")
    again = open_store(at(copy))
    assert row(again, "a").name == "hello"
    again.close()


def test_the_whole_file_of_a_stopped_hub_may_be_restored_by_saying_so(
    tmp_path: Path, store: Path, opened: Store
) -> None:
    opened.close()
    assert not store.with_name("store.db-wal").exists()
    shutil.copy(store, tmp_path / "copy.db")
    assert restore(tmp_path / "copy.db", at(tmp_path / "restored.db"), whole=True).instances == 1
    again = open_store(at(tmp_path / "restored.db"))
    assert row(again, "a").name == "hello"
    again.close()


def test_the_first_owner_of_a_restored_store_says_so_once_and_fences_the_hosts_that_it_remembers(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    back_up(at(store), tmp_path / "backup.db")
    restore(tmp_path / "backup.db", at(tmp_path / "restored.db"))
    said = []
    for _ in range(2):
        opened = open_store(at(tmp_path / "restored.db"))
        with caplog.at_level(logging.WARNING, "durable_ray.store"):
            boot = opened.acquire_hub("durable_ray", "c", "10.0.0.1:6379", 6_000_000, 2, "{}").boot_epoch
        said.append((boot, [record.getMessage() for record in caplog.records if "was restored" in record.getMessage()]))
        caplog.clear()
        opened.close()
    assert [boot for boot, _ in said] == [2, 2]
    assert [len(lines) for _, lines in said] == [1, 0]
    assert "stop one of the two" in said[0][1][0]


def test_a_store_is_not_put_under_a_hub_that_still_runs(tmp_path: Path, store: Path) -> None:
    back_up(at(store), tmp_path / "backup.db")
    for path in tmp_path.glob("store.db*"):
        if path.name in ("store.db", "store.db-wal", "store.db-shm"):
            path.rename(tmp_path / f"away-{path.name}")
    with pytest.raises(StoreUnusable, match="a hub still runs on"):
        restore(tmp_path / "backup.db", at(store))
    assert not store.exists()


@pytest.mark.parametrize("what", ["not a database at all, but long enough to have a header" * 4, ""])
def test_what_is_no_store_is_not_backed_up(tmp_path: Path, what: str) -> None:
    (tmp_path / "x.db").write_text(what)
    with pytest.raises(StoreUnusable, match=r"x\.db"):
        back_up(at(tmp_path / "x.db"), tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()


def test_a_damaged_store_is_not_backed_up_as_if_it_were_sound(tmp_path: Path, store: Path, opened: Store) -> None:
    opened.close()
    with store.open("r+b") as file:
        file.seek(store.stat().st_size - 4096 * 4)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(StoreUnusable, match=r"sound|cannot be copied"):
        back_up(at(store), tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()


def test_other_databases_have_their_own_tools(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=r"docs/operations\.md") as refused:
        back_up("postgresql://ops:s3cret@db/hub", tmp_path / "backup.db")
    assert "s3cret" not in str(refused.value)
