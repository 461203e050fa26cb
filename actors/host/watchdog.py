"""The watchdog: ends a host process whose turn exceeds its time limit, or whose event loop has ended.

An endless loop in one orchestrator costs the other instances of its host one turn limit: the next process moves it to a
dedicated host (`isolation`).
It wraps the crash marker, which is set while a turn runs. The process exits as in a crash; Ray starts a new one, which reads
in the marker whose turn it was.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading

from durable_ray.actors.clock import monotonic
from durable_ray.actors.host.crash_marker import FileMarker

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
