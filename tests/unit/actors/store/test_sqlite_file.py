"""SQLite is trusted only where it may be: a sound library, a local disk, rights of the owner alone, writers in turn."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from durable_ray.actors.store.contract import StoreError, StoreUnusable
from durable_ray.actors.store.databases import sqlite_file
from durable_ray.actors.store.databases.sqlite_file import FileLock, network_filesystem, sound
from durable_ray.actors.store.opening import SqlStore, open_store

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /home rw,relatime shared:1 - nfs4 server:/home rw
31 30 0:31 / /home/local rw - xfs /dev/vdb rw
32 22 0:32 / /mnt/with\\040space rw - cifs //server/share rw
33 22 0:33 / /mnt/ssh rw - fuse.sshfs user@host:/ rw
34 22 0:34 / /mnt/ntfs rw - fuse.ntfs3 /dev/vdc rw
35 22 0:35 / /container rw - overlay overlay rw
36 22 0:36 / /vm rw - 9p share rw
37 22 0:37 / /vm2 rw - virtiofs share rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", None),
        ("/home/me/state", "nfs4"),
        ("/home", "nfs4"),
        ("/homes", None),
        ("/home/local/state", None),
        ("/mnt/with space/x", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/mnt/ntfs", None),
        ("/container/x", None),
        ("/vm/x", None),
        ("/vm2/x", None),
    ],
)
def test_network_filesystems_are_told_from_what_only_looks_like_one(path: str, kind: str | None) -> None:
    assert network_filesystem(Path(path), MOUNTS) == kind


def test_a_store_on_a_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "network_filesystem", lambda path, mounts: "nfs4")
    with pytest.raises(StoreUnusable, match=r"network filesystem \(nfs4\).*local disk"):
        open_store(f"sqlite:///{tmp_path}/store.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "is_sound"),
    [
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 3), True),
        ((3, 53, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_only_releases_with_the_fix_are_sound(version: tuple[int, ...], is_sound: bool) -> None:
    assert sound(version) is is_sound


def test_an_unsound_sqlite_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "sound", lambda version: False)
    with pytest.raises(StoreUnusable, match=r"pip install 'pysqlite3"):
        open_store("sqlite://")


def test_pythons_own_driver_is_used_if_it_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(__name__="sqlite3", sqlite_version_info=(3, 51, 3))
    monkeypatch.setattr(sqlite_file, "sqlite3", own)
    monkeypatch.setitem(__import__("sys").modules, "pysqlite3.dbapi2", None)
    assert sqlite_file.driver() is own  # type: ignore[comparison-overlap]


def test_a_store_is_its_owners_alone(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        store = open_store(f"sqlite:///{tmp_path}/new/deep/store.db")
        store.acquire_hub("hub", "c", "here", 1, 4, "{}")
        folder = tmp_path / "new" / "deep"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {each.name: oct(stat.S_IMODE(each.stat().st_mode)) for each in folder.iterdir()}
        assert set(modes.values()) == {"0o600"}, modes
        assert {"store.db", "store.db.hub", "store.db.writers", "store.db-wal"} <= set(modes)
        store.close()
    finally:
        os.umask(previous)


@pytest.mark.parametrize("mode", [0o666, 0o622, 0o660, 0o602])
@pytest.mark.parametrize("create", [True, False])
def test_a_store_that_others_may_write_is_refused(tmp_path: Path, mode: int, create: bool) -> None:
    """It holds code, which the hub's processes run."""
    path = tmp_path / "store.db"
    open_store(f"sqlite:///{path}").close()
    path.chmod(mode)
    with pytest.raises(StoreUnusable, match=rf"{mode:04o}.*chmod 600 {path}"):
        open_store(f"sqlite:///{path}", create=create)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    path.chmod(0o600)
    open_store(f"sqlite:///{path}").close()


def test_a_path_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreUnusable, match=r"cannot write to .*folder\.db"):
        open_store(f"sqlite:///{tmp_path}/folder.db")


@pytest.mark.parametrize(
    "path", ["/proc/nowhere/store.db", "letter/deep/store.db", "n" * 300 + "/store.db", "n" * 300, "nul\0/store.db"]
)
def test_a_path_that_cannot_be_made_is_said_so(tmp_path: Path, path: str) -> None:
    (tmp_path / "letter").write_text("not a folder")
    with pytest.raises(StoreUnusable, match=r"cannot write to .*choose another store"):
        open_store(f"sqlite:///{tmp_path / path}")


def test_a_lock_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    for name in ("a.db.writers", "b.db.hub"):
        (tmp_path / name).mkdir()
    with pytest.raises(StoreUnusable, match=r"cannot write to .*a\.db\.writers"):
        open_store(f"sqlite:///{tmp_path}/a.db")
    store = open_store(f"sqlite:///{tmp_path}/b.db")
    with pytest.raises(StoreUnusable, match=r"cannot write to .*b\.db\.hub"):
        store.acquire_hub("hub", "c1", "x", 1, 1, "{}")


def test_what_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"a letter, not a database " * 100)
    with pytest.raises(StoreUnusable, match="not a database; check"):
        open_store(f"sqlite:///{tmp_path}/store.db")


def test_a_lock_is_one_holders_and_passes_on(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.try_acquire()
    assert not second.try_acquire()
    got = threading.Event()

    def wait() -> None:
        second.acquire()
        got.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not got.wait(0.02)
    first.release()
    assert got.wait(10)
    waiter.join()
    second.close()
    assert first.try_acquire()
    first.close()


def database(store: Any) -> Any:
    assert isinstance(store, SqlStore)
    return store.database


def test_every_commit_is_synced_and_readers_cannot_write(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    writer = database(store)._writer
    settings = {name: writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert settings == {"journal_mode": "wal", "synchronous": 2}
    with pytest.raises(StoreError, match="readonly"), database(store).read() as session:
        session.plain("DELETE FROM instances")
    store.close()


def test_a_checkpoint_moves_the_wal_into_the_file(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    before = (tmp_path / "store.db").stat().st_size
    store.checkpoint()
    assert (tmp_path / "store.db").stat().st_size > before
    store.close()


def test_another_programs_lock_is_waited_for_then_named(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    database(store)._writer.execute("PRAGMA busy_timeout = 1")
    other = database(open_store(f"sqlite:///{tmp_path}/store.db"))._writer
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked by another program"):
        store.put_definitions([])
    other.execute("ROLLBACK")
    assert store.put_definitions([]) == 0
    store.close()


def test_a_full_disk_fails_cleanly_and_passes(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    store.acquire_hub("hub", "c", "here", 1, 4, "x")
    writer = database(store)._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    hub = store.hub()
    with pytest.raises(StoreError, match=r"disk of .* is full; nothing was written"):
        store.acquire_hub("hub", "c2", "a" * 100_000, 2, 4, "x")
    assert store.hub() == hub
    writer.execute("PRAGMA max_page_count = 100000")
    assert store.acquire_hub("hub", "c2", "a" * 100_000, 2, 4, "x").boot_epoch == 2
    store.close()


def test_a_store_is_not_used_across_a_fork(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    child = os.fork()
    if child == 0:
        try:
            store.hub()
        except StoreError as error:
            os._exit(0 if "fork" in str(error) else 2)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert store.hub() is None
    store.close()


def test_a_killed_owner_leaves_the_hub_free(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url).close()
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        open_store(url).acquire_hub("hub", "c1", "child", 1, 4, "{}")
        os.write(tell, b"x")
        threading.Event().wait()
    assert os.read(ready, 1) == b"x"
    store = open_store(url)
    with pytest.raises(StoreError, match="child"):
        store.acquire_hub("hub", "c2", "me", 1, 4, "{}")
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert store.acquire_hub("hub", "c2", "me", 1, 4, "{}").boot_epoch == 2
    store.close()


@pytest.mark.parametrize("lock", ["writers", "hub"])
def test_a_child_that_outlives_its_process_holds_none_of_its_locks(tmp_path: Path, lock: str) -> None:
    """What an activity forks in its host goes on when that is killed within a commit; others must be able to write."""
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url).close()
    ready, tell = os.pipe()
    host = os.fork()
    if host == 0:
        store = open_store(url)
        assert isinstance(store, SqlStore)

        def fork_and_die() -> None:
            begun, begin = os.pipe()
            orphan = os.fork()
            if orphan == 0:
                os.write(begin, b"x")
                threading.Event().wait()
            os.read(begun, 1)  # it has closed the locks by now; on a busy machine it takes its time to come to it
            os.write(tell, f"{orphan}\n".encode())
            os.kill(os.getpid(), 9)

        def within_a_commit(session: Any) -> None:
            activity = threading.Thread(target=fork_and_die)
            activity.start()
            activity.join()

        if lock == "hub":
            store.acquire_hub("hub", "c1", "host", 1, 4, "{}")
            fork_and_die()
        store.database.write(within_a_commit)
    os.waitpid(host, 0)
    orphan = int(os.read(ready, 20))
    store = open_store(url)
    done = threading.Event()

    def use() -> None:
        store.acquire_hub("hub", "c2", "me", 1, 4, "{}")
        store.heartbeat(2)
        done.set()

    try:
        threading.Thread(target=use, daemon=True).start()
        assert done.wait(20)
    finally:
        os.kill(orphan, 9)
    store.close()


def test_a_child_leaves_the_locks_to_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held, other = FileLock(path), FileLock(path)
    held.acquire()
    child = os.fork()
    if child == 0:
        held.release()
        held.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert not other.try_acquire()
    held.release()
    assert other.try_acquire()
    held.close()
    other.close()


@pytest.mark.parametrize("linked", [False, True])
def test_a_store_in_a_folder_where_others_may_replace_it_is_refused(tmp_path: Path, linked: bool) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    open_store(f"sqlite:///{folder}/store.db").close()
    at = folder
    if linked:
        at = tmp_path / "own"
        at.mkdir()
        (at / "store.db").symlink_to(folder / "store.db")
    folder.chmod(0o777)
    with pytest.raises(StoreUnusable, match=rf"{folder} .*0777.*chmod o-w {folder}"):
        open_store(f"sqlite:///{at}/store.db")
    with pytest.raises(StoreUnusable, match="chmod o-w"):
        open_store(f"sqlite:///{folder}/new.db")
    assert not (folder / "new.db").exists()
    folder.chmod(0o1777)
    open_store(f"sqlite:///{at}/store.db").close()


def test_a_store_in_a_folder_that_its_group_may_write_is_opened_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o770)
    open_store(f"sqlite:///{tmp_path}/store.db").close()
    assert any("chmod g-w" in record.message for record in caplog.records)
