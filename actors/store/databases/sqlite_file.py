"""Requirements of a SQLite file: a library without the WAL-reset bug, a local disk, its owner's rights, and two file locks.

- Before 3.51.3 (3.50.7, 3.44.6) SQLite could lose committed pages when a WAL was reset under concurrent connections
  (its release notes call it the WAL-reset bug), so an older library is refused.
- WAL needs shared memory between all processes, which network filesystems do not give.
- Nobody but its owner may write the file, or put another in its place: it holds code that the hub runs.
- `<file>.writers`: SQLite lets competing writers poll, and under load one of them gets nearly all turns. The kernel
  queues those who wait for a file lock, so writers take this lock first.
- `<file>.hub`: held by the process that owns the hub for as long as it lives; the kernel drops it with the process.
- Both belong to an open file, which a fork (of an activity that runs in its host, say) has as well: a child that outlived
  its host would hold them on. So a child closes them before it does anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import stat
import types
import weakref
from pathlib import Path

from durable_ray.actors.store.contract import StoreUnusable

log = logging.getLogger("durable_ray.store")

_NETWORK = {"nfs", "nfs4", "cifs", "smbfs", "smb3", "glusterfs", "ceph", "lustre", "beegfs", "gpfs", "afs", "ocfs2"}
_NETWORK_FUSE = {
    "sshfs",
    "glusterfs",
    "ceph",
    "cephfs",
    "s3fs",
    "gcsfuse",
    "rclone",
    "blobfuse",
    "blobfuse2",
    "juicefs",
}


def sound(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the fix of the WAL-reset bug.

    Example:
        >>> sound((3, 51, 3)), sound((3, 51, 2)), sound((3, 50, 7)), sound((3, 44, 6)), sound((3, 45, 0))
        (True, False, True, True, False)
    """
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def driver() -> types.ModuleType:
    """The SQLite driver to use: pysqlite3 (bundles its own SQLite) if installed, else Python's own if its SQLite is
    sound.

    Raises StoreUnusable, saying what to install.
    """
    candidates: list[types.ModuleType] = [sqlite3]
    with contextlib.suppress(ImportError):
        import pysqlite3.dbapi2 as bundled

        candidates.insert(0, bundled)
    for module in candidates:
        if sound(tuple(module.sqlite_version_info)):
            return module
    found = ", ".join(f"{module.__name__} has {module.sqlite_version}" for module in candidates)
    raise StoreUnusable(
        f"this SQLite can lose committed data ({found}; its WAL-reset bug is fixed in 3.51.3, 3.50.7 and 3.44.6). "
        "Install a fixed one with: pip install 'pysqlite3>=0.6.1'; or use a PostgreSQL store"
    )


def network_filesystem(path: Path, mounts: str) -> str | None:
    """The type of the network filesystem that holds `path`, or None. `mounts` is the text of /proc/self/mountinfo.

    Only true network filesystems are named: overlay, 9p and virtiofs are what containers and virtual machines see
    of a local disk.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = fields[4].encode().decode("unicode_escape")  # \040 stands for a space
        if len(point) >= best and path.is_relative_to(point):
            best, kind = len(point), after.split()[0]
    name = kind.removeprefix("fuse.")
    return kind if name in _NETWORK or (name != kind and name in _NETWORK_FUSE) else None


def prepare(path: Path, create: bool) -> None:
    """Make sure that a database may live at `path`: parent directory, rights (only its owner's), no network
    filesystem. Raises StoreUnusable."""
    try:
        if not create and not path.exists():
            raise StoreUnusable(f"there is no store at {path}; start a hub on it first, or check the path")
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise unwritable(path.parent, error) from error
    with contextlib.suppress(OSError):
        kind = network_filesystem(path.parent.resolve(), Path("/proc/self/mountinfo").read_text())
        if kind is not None:
            raise StoreUnusable(
                f"{path.parent} is on a network filesystem ({kind}), where SQLite cannot work safely; "
                "put the store on a local disk, or use a PostgreSQL store"
            )
    for folder in dict.fromkeys((path.parent, path.resolve().parent)):
        with contextlib.suppress(OSError):  # of what cannot be looked at, opening says more
            _only_its_owner_replaces(path, folder, folder.stat().st_mode)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    try:
        _only_its_owner_writes(path, os.fstat(file).st_mode)
    finally:
        os.close(file)


def _only_its_owner_writes(path: Path, mode: int) -> None:
    """The store holds code, so write access to it is code execution as the user who opens it."""
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreUnusable(
            f"others may write to the store {path} (its mode is {stat.S_IMODE(mode):04o}), and whoever writes it runs code in "
            f"its hub: chmod 600 {path}"
        )


def _only_its_owner_replaces(path: Path, folder: Path, mode: int) -> None:
    """In a folder that others may write, they may remove the store and put one of theirs in its place; not in one with the
    sticky bit, as `/tmp` has. A group is often its user's own, so for that it is a warning."""
    if mode & stat.S_ISVTX:
        return
    found = f"the folder {folder} of the store {path} (its mode is {stat.S_IMODE(mode):04o})"
    if mode & stat.S_IWOTH:
        raise StoreUnusable(
            f"others may write to {found}, and whoever replaces the store runs code in its hub: chmod o-w {folder}, or choose "
            "another store"
        )
    if mode & stat.S_IWGRP:
        log.warning(
            "the group may write to %s, and whoever replaces the store runs code in its hub: chmod g-w it", found
        )


def unwritable(path: Path, error: Exception) -> StoreUnusable:
    """What to say when this cannot be written to, or made."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StoreUnusable(
        f"cannot write to {path}: {why}; check the rights of the file, of those beside it and of their folder, or choose "
        "another store"
    )


class FileLock:
    """An exclusive lock between processes that the kernel gives to those who wait in turn and takes from those who
    die. Raises StoreUnusable if its file cannot be written."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unwritable(path, error) from error
        _of_this_process.add(self)

    def acquire(self) -> None:
        """Wait for the lock."""
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Take the lock if it is free."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let the next one have it."""
        if self._file != _CLOSED:  # by a fork that was made meanwhile, in whose child this may run
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def write(self, note: dict[str, object]) -> None:
        """Leave a note for a person who looks into the file."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, (json.dumps(note) + "\n").encode(), 0)

    def close(self) -> None:
        """Give up the file, and with it the lock, unless another process has the file from a fork."""
        file, self._file = self._file, _CLOSED
        if file != _CLOSED:
            os.close(file)


def _leave_to_the_parent() -> None:
    for lock in list(_of_this_process):
        lock.close()


#: What stands for the descriptor of a file that is closed.
_CLOSED = -1
_of_this_process: weakref.WeakSet[FileLock] = weakref.WeakSet()
os.register_at_fork(after_in_child=_leave_to_the_parent)
