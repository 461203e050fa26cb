"""Framing: a header with length, number and kind, and an opaque body."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator

ASK, ANSWER, ERROR = 0, 1, 2

_HEADER = struct.Struct("<QIB")


def frame(number: int, kind: int, body: bytes) -> bytes:
    """One message as bytes. Answers carry the number of what they answer."""
    return _HEADER.pack(len(body), number, kind) + body


def error_frame(number: int, error: BaseException) -> bytes:
    """An error as an answer; one that cannot be pickled as its text."""
    try:
        body = pickle.dumps(error, protocol=5)
        pickle.loads(body)
    except Exception:
        body = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"), protocol=5)
    return frame(number, ERROR, body)


def error_of(body: bytes) -> Exception:
    """The error that `error_frame` packed; a RuntimeError if its class cannot be imported here."""
    try:
        error: Exception = pickle.loads(body)
    except Exception as unknown:
        return RuntimeError(
            f"the other end raised an error that cannot be read here: {type(unknown).__name__}: {unknown}"
        )
    return error


class Frames:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Each (number, kind, body) that is complete now that `data` has come."""
        held = self._held
        held += data
        at = 0
        while len(held) - at >= _HEADER.size:
            size, number, kind = _HEADER.unpack_from(held, at)
            end = at + _HEADER.size + size
            if end > len(held):
                break
            body = bytes(memoryview(held)[at + _HEADER.size : end])
            at = end
            yield number, kind, body
        if at:
            del held[:at]
