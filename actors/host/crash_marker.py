"""Crash marker: a file that survives `kill -9` and names the instance whose code was running; and the watchdog of turns.

A memory-mapped file: writing it costs a copy into the page cache, no system call, and the kernel keeps it when the process
is gone. It need not survive the machine, whose failure no instance caused.

Hosts write to this path, so other users must not be able to redirect it: the folder has to belong to this user, and neither it
nor a file in it is reached through a link.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import logging
import mmap
import os
import stat
import sys
import threading
from pathlib import Path

from durable_ray.actors.clock import monotonic
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


log = logging.getLogger("durable_ray.host")

#: Seconds within which a process exits after an orderly stop of its loop.
_ORDERLY_SECONDS = 2.0


def end_with_this_thread() -> None:
    """Exit this process when the calling thread, which runs the event loop, has ended.

    Without its loop the process could not answer, and Ray would take it for alive.
    """
    watched = threading.current_thread()

    def watch() -> None:
        watched.join()
        threading.Event().wait(_ORDERLY_SECONDS)
        log.critical("the event loop has ended but its process has not: the process exits and is replaced")
        os._exit(71)

    threading.Thread(target=watch, name="end with the loop", daemon=True).start()


class Watchdog:
    """A marker with a time limit for each turn, in seconds."""

    def __init__(self, marker: FileMarker, limit: float) -> None:
        self._marker = marker
        self._limit = limit
        self._since = 0.0
        self._whose = ""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()

    def set(self, instance_id: str) -> None:
        """This instance's code runs now."""
        self._whose = instance_id
        self._marker.set(instance_id)
        self._since = monotonic()

    def clear(self) -> None:
        """No instance's code runs now."""
        self._since = 0.0
        self._marker.clear()

    def timed_out(self) -> bool:
        """Whether the watchdog ended the previous process."""
        return self._marker.timed_out()

    def take(self) -> str | None:
        """The instance whose code ran when the previous process died."""
        return self._marker.take()

    def remove(self) -> None:
        """Delete the marker: its host passivates."""
        self._marker.remove()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(min(1.0, self._limit / 4)):
            since = self._since
            if since and monotonic() - since > self._limit:
                log.critical(
                    "a turn of instance %r has taken over %.0f s: its host process exits and is replaced",
                    self._whose,
                    self._limit,
                )
                self._marker.time_out()
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                os._exit(70)
