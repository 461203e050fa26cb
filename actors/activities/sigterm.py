"""SIGTERM: a terminating process is an infrastructure failure, whatever its user code raises on the way out.

Ray ends processes by SIGTERM (`ray stop`, a drained node, a Ray task whose owner died) and kills them some seconds later. Its
own handler raises SystemExit in the main thread, which has two faults: in a Ray task it arrives in user code, where it looks
like that code's failure, and the main thread of an actor stands in C++, where no handler of Python's is run. So each kind of
process has its own handler: hosts and registry end at once, as by `kill -9`, which they are made for; workers first answer
the waiting hosts that their attempts have to run elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

#: What a shell shows for a process ended by SIGTERM.
EXIT_CODE = 128 + signal.SIGTERM
#: Seconds in which user code of a Ray task leaves its `finally` blocks; and in which an answer is on its way.
_UNWIND_SECONDS, _ANSWER_SECONDS = 2.0, 0.2

_terminating = threading.Event()
_unwound = threading.Event()
_installed = threading.Lock()


class ProcessEnds(Exception):
    """This process is terminating: the attempt counts as not made, and has to run elsewhere."""

    def __init__(self, message: str = "the process was told to end") -> None:
        super().__init__(message)


def terminating() -> bool:
    """Whether this process got SIGTERM: nothing that user code does from now on counts."""
    return _terminating.is_set()


def end_at_once() -> None:
    """From now on SIGTERM ends this process without running any of its code. From any thread."""
    # `signal.signal` works in the main thread only, and the constructor of an async actor does not run there.
    ctypes.pythonapi.PyOS_setsig(int(signal.SIGTERM), None)


def end_after(on_sigterm: Callable[[], None]) -> None:
    """From now on SIGTERM has `on_sigterm` called, on a thread, and ends the process when its answers can have arrived.

    Works while the main thread is in C++ for ever. To be called from the main thread; from another one, SIGTERM ends the
    process at once.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        # A handler of Python's, for only then a byte is written; in C++ it is not run, and here it has nothing to do.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    except ValueError:
        os.close(reading)
        os.close(writing)
        end_at_once()
        return
    threading.Thread(target=_await_signal, args=(reading, on_sigterm), name="sigterm", daemon=True).start()


def _await_signal(reading: int, on_sigterm: Callable[[], None]) -> None:
    while signal.SIGTERM not in os.read(reading, 64):
        pass
    _terminating.set()
    try:
        on_sigterm()
        time.sleep(_ANSWER_SECONDS)
    finally:
        os._exit(EXIT_CODE)


def unwind() -> None:
    """From now on SIGTERM raises SystemExit in the main thread, which runs user code, and ends the process when that has
    left (`unwound`), or has taken too long to."""
    if _installed.acquire(blocking=False):
        with suppress(ValueError):  # not in the main thread: then Ray's handler raises nothing in user code either
            signal.signal(signal.SIGTERM, _raise_exit)


def unwound() -> None:
    """User code has unwound: the process ends as soon as its answer can have arrived."""
    _unwound.set()


def _raise_exit(number: int, frame: FrameType | None) -> None:
    if _terminating.is_set():
        os._exit(EXIT_CODE)
    _terminating.set()
    threading.Thread(target=_end_when_unwound, name="sigterm", daemon=True).start()
    raise SystemExit(EXIT_CODE)


def _end_when_unwound() -> None:
    try:
        _unwound.wait(_UNWIND_SECONDS)
        time.sleep(_ANSWER_SECONDS)
    finally:
        os._exit(EXIT_CODE)
