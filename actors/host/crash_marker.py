"""Crash marker: a file that survives `kill -9` and names the instance whose code was running when the process died.

A memory-mapped file: writing it costs a copy into the page cache, no system call, and the kernel keeps it when the process
is gone. It need not survive the machine, whose failure no instance caused.

Hosts write to this path, so other users must not be able to redirect it: the folder has to belong to this user, and neither it
nor a file in it is reached through a link.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
from pathlib import Path

from durable_ray.actors.store.contract import StoreUnusable

_SIZE = 4096
_LENGTH = 2
#: The byte that records that the watchdog ended the process.
_TIMED_OUT = _SIZE - 1


def marker_name(*what: str) -> str:
    """The name of a marker file: a hash, for a file name has 255 bytes and an ID may have more."""
    return hashlib.sha256("\0".join(what).encode(errors="surrogatepass")).hexdigest()[:40]


def _own_folder(path: Path) -> int:
    """A descriptor of this folder, created if absent. Raises StoreUnusable if it is not this user's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, f"it is no folder of this user's own ({error.strerror})") from error
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.close(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        raise _refused(path, f"it belongs to user {found.st_uid} and has mode {mode:04o}")
    return descriptor


def _own_file(path: Path) -> int:
    folder = _own_folder(path.parent)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path.name, flags, 0o600, dir_fd=folder)
    except OSError as error:
        raise _refused(path, f"it is no file of this user's own ({error.strerror})") from error
    finally:
        os.close(folder)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        os.close(descriptor)
        raise _refused(path, f"it belongs to user {found.st_uid}, has other names, or is no plain file")
    return descriptor


def _refused(path: Path, why: str) -> StoreUnusable:
    return StoreUnusable(
        f"hosts cannot use {str(path)!r} as their crash marker: {why}. Another user may have created it; inspect and remove "
        "it, then it is created again"
    )


class FileMarker:
    """The marker of one host. `path` is created, and its folder too. Raises StoreUnusable if either is not this user's own."""

    def __init__(self, path: Path) -> None:
        descriptor = _own_file(path)
        self._path = path
        try:
            os.ftruncate(descriptor, _SIZE)
            self._file = _identity(os.fstat(descriptor))
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    def set(self, instance_id: str) -> None:
        """This instance's code runs now."""
        text = instance_id.encode()[: _TIMED_OUT - _LENGTH]
        self._map[_LENGTH : _LENGTH + len(text)] = text
        self._map[:_LENGTH] = len(text).to_bytes(_LENGTH, "big")

    def clear(self) -> None:
        """No instance's code runs now."""
        self._map[:_LENGTH] = b"\0\0"

    def time_out(self) -> None:
        """Record that the watchdog is about to end this process."""
        self._map[_TIMED_OUT] = 1

    def timed_out(self) -> bool:
        """Whether the watchdog ended the previous process. Reading it clears it."""
        found, self._map[_TIMED_OUT] = self._map[_TIMED_OUT], 0
        return bool(found)

    def take(self) -> str | None:
        """The instance whose code ran when the previous process died. Reading it clears it."""
        length = int.from_bytes(self._map[:_LENGTH], "big")
        text = bytes(self._map[_LENGTH : _LENGTH + length]).decode(errors="replace")
        self.clear()
        return text or None

    def remove(self) -> None:
        """Delete the file: its host passivates, so no instance's code will run in it. Not a successor's file at that path."""
        folder = _own_folder(self._path.parent)
        try:
            if _identity(os.stat(self._path.name, dir_fd=folder, follow_symlinks=False)) == self._file:
                os.unlink(self._path.name, dir_fd=folder)
        except FileNotFoundError:
            pass
        finally:
            os.close(folder)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


class NoMarker:
    """A marker that records nothing (in-process hubs)."""

    def set(self, instance_id: str) -> None:
        """Do nothing."""

    def clear(self) -> None:
        """Do nothing."""

    def timed_out(self) -> bool:
        """Never."""
        return False

    def take(self) -> str | None:
        """None."""
        return None

    def remove(self) -> None:
        """Do nothing."""
