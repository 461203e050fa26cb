"""Servers of a socket: one on an event loop, for async actors; one with a thread per connection, for blocking ones."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import cast

from durable_ray.actors.wire.address import KEY, WireAddress, listening, same_user
from durable_ray.actors.wire.frames import ANSWER, Frames, error_frame, frame

log = logging.getLogger("durable_ray.wire")

#: Concurrent calls of one connection; the next are read when some are done.
_MOST_CALLS = 1_000
#: Connections of one threaded listener, each of which is a thread. A caller that is refused calls through Ray.
_MOST_LINES = 256
_CHUNK = 256 * 1024


class LoopListener:
    """Answers on the running event loop, any number of calls of a line at a time, for as long as this object lives."""

    def __init__(self, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._answer = answer
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> WireAddress | None:
        """Begin; None where there are no such sockets."""
        made = listening()
        if made is None:
            return None
        listener, address = made
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Line(loop, address, self._answer), sock=listener)
        return address


class _Line(asyncio.Protocol):
    """One caller."""

    _transport: asyncio.Transport

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: WireAddress, answer: Callable[[bytes], Awaitable[bytes]]
    ) -> None:
        self._loop = loop
        self._address = address
        self._answer = answer
        self._shown: bytes | None = b""
        self._frames = Frames()
        self._calls: set[asyncio.Task[None]] = set()
        self._congested = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every event loop's transports are a subclass, or show a socket that can be asked who is at its other end.
        self._transport = cast(asyncio.Transport, transport)
        try:
            with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as line:
                ours = same_user(line)
        except OSError:
            ours = False  # there are no more file descriptors: it can call through Ray
        if not ours:
            log.warning("a process of another user tried to call this one")
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._shown is not None:
            self._shown += data
            if len(self._shown) < KEY:
                return
            shown, data = self._shown[:KEY], self._shown[KEY:]
            if not hmac.compare_digest(shown, self._address.key):
                log.warning("a process without the key tried to call this one")
                self._transport.abort()
                return
            self._shown = None
            self._transport.write(self._address.proof)
        for number, _, body in self._frames.feed(data):
            task = self._loop.create_task(self._call(number, body))
            self._calls.add(task)
            task.add_done_callback(self._done)
        self._regulate()

    async def _call(self, number: int, body: bytes) -> None:
        try:
            answer = frame(number, ANSWER, await self._answer(body))
        except Exception as error:
            answer = error_frame(number, error)
        # The caller may have closed the connection; its call was done all the same.
        if not self._transport.is_closing():
            self._transport.write(answer)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._regulate()

    def pause_writing(self) -> None:
        self._congested = True
        self._regulate()

    def resume_writing(self) -> None:
        self._congested = False
        self._regulate()

    def _regulate(self) -> None:
        """Backpressure: stop reading from a caller with too many calls under way, or one that does not read its answers."""
        if self._transport.is_closing():
            return
        if self._congested or len(self._calls) >= _MOST_CALLS:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class ThreadListener:
    """Answers each line in a thread of its own, one call after the other: no hand-over between threads."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._lines = threading.Semaphore(_MOST_LINES)

    def open(self) -> WireAddress | None:
        """Begin; None where there are no such sockets."""
        made = listening()
        if made is None:
            return None
        listener, address = made
        threading.Thread(target=self._listen, args=(listener, address), name="wire", daemon=True).start()
        return address

    def _listen(self, listener: socket.socket, address: WireAddress) -> None:
        while True:
            line, _ = listener.accept()
            if not same_user(line) or not self._lines.acquire(blocking=False):
                line.close()
                continue
            threading.Thread(target=self._serve, args=(line, address), name="wire-line", daemon=True).start()

    def _serve(self, line: socket.socket, address: WireAddress) -> None:
        try:
            with line:
                self._talk(line, address)
        except OSError:
            pass  # the caller closed the connection; a repeated call is recognized by its address
        finally:
            self._lines.release()

    def _talk(self, line: socket.socket, address: WireAddress) -> None:
        shown = b""
        while len(shown) < KEY:
            part = line.recv(KEY - len(shown))
            if not part:
                return
            shown += part
        if not hmac.compare_digest(shown, address.key):
            log.warning("a process without the key tried to call this one")
            return
        line.sendall(address.proof)
        frames = Frames()
        while data := line.recv(_CHUNK):
            for number, _, body in frames.feed(data):
                line.sendall(self._answered(number, body))

    def _answered(self, number: int, body: bytes) -> bytes:
        try:
            return frame(number, ANSWER, self._answer(body))
        except Exception as error:
            return error_frame(number, error)
