"""Backing a SQLite store up while its hub runs, and putting a backup in place for a hub to open.

PostgreSQL has its own tools for both; `docs/operations.md` has the recipes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.copies.sqlite_files import StoreCopy, copy_file, look
from durable_ray.actors.store.databases.sqlite_copies import BACKUP, PAGE, RESTORED, beside, mark_of
from durable_ray.actors.store.databases.sqlite_file import FileLock, prepare
from durable_ray.actors.store.urls import is_sqlite, shown_url, sqlite_path

#: The next owner begins a new boot, which fences every host of the one that the backup remembers.
_OWNED_BY_NOBODY = "UPDATE hub SET cluster = ''"


def back_up(url: str, target: Path) -> StoreCopy:
    """Copy the SQLite store at `url`, whose hub may run, to the file `target`, which may not be there yet.

    The backup has everything that was acknowledged before this began. Writers are not held up.

    Args:
        url: `sqlite:///path`; the file must be on this machine.
        target: a path; it may be on a network filesystem.

    Raises:
        StoreUnusable: there is a file at `target`, or one of the two cannot be used; the message says what to do.

    Example:
        >>> back_up("sqlite:////var/lib/hub.db", Path("/backups/monday.db"))  # doctest: +SKIP
        StoreCopy(hub='durable_ray', address='10.0.0.1:6379', last_alive=…, instances=812, unfinished=40, bytes=5931008)
    """
    path = _file_of(url, "backed up")
    if not path.exists():
        raise StoreUnusable(f"there is no store at {path}; a hub's SQLite file is on the machine of its head node")
    return copy_file(path, target, BACKUP)


def restore(backup: Path, url: str, *, whole: bool = False) -> StoreCopy:
    """Put a backup in place at `url`, where nothing may be. Its next owner logs that it was restored.

    What has happened since the backup was made is forgotten, and is done again. If the hub that it was made of still runs
    somewhere, both do the work.

    Args:
        backup: what `back_up` has made.
        url: `sqlite:///path`.
        whole: the file is no such backup, but the whole of a store whose hub had been stopped and had left no `-wal`.

    Raises:
        StoreUnusable: there is a store at `url` (or its log), a hub has it open, or `backup` cannot be used.
    """
    path = _file_of(url, "restored into")
    backup_facts(backup, whole=whole)
    for taken in (path, beside(path, "-wal")):
        if taken.exists():
            raise StoreUnusable(
                f"there is {taken} already, and nothing is overwritten; stop the hub, then move {path.name}, "
                f"{path.name}-wal and {path.name}-shm away together"
            )
    prepared = beside(path, ".writers")
    prepare(prepared, create=True)
    lock = FileLock(beside(path, ".hub"))
    try:
        if not lock.try_acquire():
            raise StoreUnusable(
                f"a hub still runs on {path}, although the file is gone; stop it first (durable-ray down)"
            )
        return copy_file(backup.absolute(), path, RESTORED, _disown)
    finally:
        lock.close()


def backup_facts(backup: Path, *, whole: bool = False) -> StoreCopy:
    """What a backup has. Raises StoreUnusable if it is none, or not known to be whole (see `restore`)."""
    if not backup.is_file():
        raise StoreUnusable(f"there is no backup at {backup}")
    if not whole and mark_of(backup) != BACKUP:
        raise StoreUnusable(
            f"{backup} was not made by `durable-ray backup`, so commits may be missing that were still in its -wal; if its "
            f"hub had been stopped and had left no -wal, say so with --whole ({PAGE})"
        )
    return look(backup)


def _disown(connection: Any) -> None:
    connection.execute(_OWNED_BY_NOBODY)


def _file_of(url: str, done: str) -> Path:
    if not is_sqlite(url):
        raise StoreUnusable(f"{shown_url(url)!r} is not {done} by this: use the database's own tools, see {PAGE}")
    path = sqlite_path(url)
    if path is None:
        raise StoreUnusable(f"{shown_url(url)!r} is in the memory of one process; name a file, sqlite:///path")
    return path
