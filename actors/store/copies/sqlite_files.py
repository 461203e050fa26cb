"""SQLite files as copies: made by SQLite's online backup, checked, and put in place only where nothing is.

`Connection.backup` in one step is one read transaction: the copy has all that was committed when it began, from file and log,
and nothing later. Writers go on meanwhile; the log grows until it is over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.databases.revision import FOUND, MOVED, REVISION, VERSION_TABLE
from durable_ray.actors.store.databases.sqlite_copies import PAGE
from durable_ray.actors.store.databases.sqlite_file import driver, unwritable


class StoreCopy(Struct, frozen=True):
    """A store as found in a copy of it.

    Attributes:
        hub: whose it is; "" if no hub ever owned it.
        address: of the cluster that owned it last.
        last_alive: when that cluster's hub reported last (µs since the epoch, UTC).
        instances: how many there are.
        unfinished: how many of them have not ended.
        bytes: the size of the file.
    """

    hub: str
    address: str
    last_alive: int
    instances: int
    unfinished: int
    bytes: int


def copy_file(
    source: Path, target: Path, mark: int, change: Callable[[Any], None] = lambda connection: None
) -> StoreCopy:
    """Copy the database at `source`, which may be in use, to `target`, where no file may be; what the copy has.

    The copy is whole or not there: it gets its name when it was checked and synced. Only its owner may read it.

    Args:
        mark: goes into the copy's header.
        change: is called with a connection to the copy, before it is checked.

    Raises:
        StoreUnusable: there is a file at `target`, `source` is no sound store of this release or an older one, or a file cannot
            be written; the message says which.
    """
    target = target.expanduser().absolute()
    with _fresh(target) as part:
        try:
            with closing(_connect(part)) as copy:
                with closing(_connect(source, "ro")) as original:
                    original.backup(copy)
                # One file, whatever the original was: no log stands beside the copy when it is closed.
                copy.execute("PRAGMA journal_mode = DELETE").fetchall()
                found = _facts(copy, source, part)
                change(copy)
                copy.execute(f"PRAGMA user_version = {mark}")
                _check(copy, source)
        except (driver().Error, OSError) as error:
            raise StoreUnusable(f"{source} cannot be copied to {target}: {error}; nothing is there now") from error
    return found


def look(path: Path) -> StoreCopy:
    """What a copy has. Raises StoreUnusable if it is none."""
    try:
        with closing(_connect(path, "ro")) as connection:
            return _facts(connection, path, path)
    except driver().Error as error:
        raise StoreUnusable(f"{path} cannot be read: {error}") from error


def _connect(path: Path, mode: str = "rw") -> Any:
    where = path.absolute().as_uri()
    return driver().connect(f"{where}?mode={mode}", uri=True, isolation_level=None, timeout=30)


@contextmanager
def _fresh(target: Path) -> Iterator[Path]:
    """An empty file of another name in the folder of `target`, which gets that name at the end, if nothing has it."""
    taken = StoreUnusable(
        f"there is a file at {target} already, and nothing is overwritten; choose another name, or move it away"
    )
    if target.exists():
        raise taken
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise unwritable(part, error) from error
    try:
        yield part
        _sync(part)
        try:
            os.link(part, target)  # unlike a renaming, this replaces nothing
        except FileExistsError:
            raise taken from None
        except OSError as error:
            raise unwritable(target, error) from error
    finally:
        for leftover in (part, part.with_name(f"{part.name}-journal")):
            with suppress(FileNotFoundError):
                leftover.unlink()
    _sync(target.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _facts(copy: Any, source: Path, part: Path) -> StoreCopy:
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if copy.execute(known, (VERSION_TABLE,)).fetchone() is None:
        raise StoreUnusable(f"{source} is no store of durable_ray")
    found = copy.execute(FOUND.sqlite).fetchone()
    if found is not None and found[0] == MOVED:
        raise StoreUnusable(f"{source} was moved to another database; back up that one ({PAGE})")
    if found is None or str(found[0]) > REVISION:
        raise StoreUnusable(
            f"{source} has schema {found and found[0]}, this release knows up to {REVISION}; upgrade durable_ray first ({PAGE})"
        )
    name, boot, address, heartbeat = copy.execute("SELECT name, boot_epoch, address, heartbeat FROM hub").fetchone()
    number = copy.execute("SELECT count(*), count(*) - count(completed_at) FROM instances").fetchone()
    return StoreCopy(name if boot else "", address, heartbeat, number[0], number[1], part.stat().st_size)


def _check(copy: Any, source: Path) -> None:
    said = [row[0] for row in copy.execute("PRAGMA quick_check(3)").fetchall()]
    if said != ["ok"]:
        raise StoreUnusable(
            f"{source} is not a sound SQLite database ({'; '.join(said)}), and neither would its copy be; "
            f"restore an earlier backup ({PAGE})"
        )
