"""A note on disk that survives `kill -9`: whose code was running when the process died.

A memory-mapped file: writing it costs a copy into the page cache, no system call, and the kernel keeps it when the process
is gone. It need not survive the machine: a dead machine is nobody's fault.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

_SIZE = 4096
_LENGTH = 2
#: Where it is noted that the process was ended because that code took too long.
_TIMED_OUT = _SIZE - 1


class FileMarker:
    """The marker of one host. `path` is created; its directory must exist."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
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
        """This process is about to be ended, because that code has taken too long."""
        self._map[_TIMED_OUT] = 1

    def timed_out(self) -> bool:
        """Whether the previous process was ended because the code that ran took too long; forgotten by being read."""
        found, self._map[_TIMED_OUT] = self._map[_TIMED_OUT], 0
        return bool(found)

    def take(self) -> str | None:
        """Whose code ran when the previous process died; forgotten by being read."""
        length = int.from_bytes(self._map[:_LENGTH], "big")
        text = bytes(self._map[_LENGTH : _LENGTH + length]).decode(errors="replace")
        self.clear()
        return text or None


class NoMarker:
    """For a process whose death takes nothing along that could be blamed (tests in one process)."""

    def set(self, instance_id: str) -> None:
        """Nothing to note."""

    def clear(self) -> None:
        """Nothing to note."""

    def timed_out(self) -> bool:
        """No."""
        return False

    def take(self) -> str | None:
        """Nobody."""
        return None
