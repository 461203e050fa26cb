"""Clients of a socket: a blocking one for threads, one connection for an event loop, and a pool of such connections."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Self, cast

from durable_ray.actors.wire.address import WireAddress, WireBroken, dialled, dialled_in_time
from durable_ray.actors.wire.frames import ASK, ERROR, Frames, error_of, frame

_CHUNK = 256 * 1024
#: Seconds to reach a listener: it may be in the middle of a long turn.
_DIAL = 10.0
#: Idle lines a blocking caller keeps.
_KEPT = 8


class BlockingWireClient:
    """Calls from any number of threads; each has a connection for itself while it waits."""

    def __init__(self, address: WireAddress) -> None:
        self._address = address
        self._idle: deque[socket.socket] = deque()
        self._closed = False
        self._process = os.getpid()

    @classmethod
    def reaching(cls, address: WireAddress) -> Self | None:
        """A caller of `address`, if that is on this machine."""
        caller = cls(address)
        try:
            caller._idle.append(dialled(address, _DIAL))
        except WireBroken:
            return None
        return caller

    def call(self, body: bytes, seconds: float) -> bytes:
        """The answer to `body`. Raises WireBroken, or what the other end raised."""
        until = time.monotonic() + seconds
        if self._process != os.getpid():
            # A fork shares its parent's connections: each would read the other's answers.
            self._idle, self._process = deque(), os.getpid()
        try:
            line = self._idle.pop()
        except IndexError:
            line = dialled(self._address, min(seconds, _DIAL))
        try:
            answer = self._talk(line, body, until)
        except OSError as error:
            line.close()
            raise WireBroken(str(error) or type(error).__name__) from error
        except BaseException:
            line.close()  # a late answer may still come over it
            raise
        if self._closed or len(self._idle) >= _KEPT:
            line.close()
        else:
            self._idle.append(line)
        _, kind, answered = answer
        if kind == ERROR:
            raise error_of(answered)
        return answered

    @staticmethod
    def _talk(line: socket.socket, body: bytes, until: float) -> tuple[int, int, bytes]:
        line.settimeout(max(until - time.monotonic(), 0.001))
        line.sendall(frame(0, ASK, body))
        frames = Frames()
        while True:
            data = line.recv(_CHUNK)
            if not data:
                raise WireBroken("the other end closed the connection")
            for answer in frames.feed(data):
                return answer
            line.settimeout(max(until - time.monotonic(), 0.001))

    def close(self) -> None:
        """Close idle connections; calls under way finish."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class WireConnection(asyncio.Protocol):
    """One connection on one event loop: any number of calls under way, received in the order they were made."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self.broken = False
        self._closing = False
        self._until_end = self._until_the_loop_ends()

    @classmethod
    async def dial(cls, address: WireAddress) -> Self:
        """A new connection. Raises WireBroken."""
        line = await dialled_in_time(address, _DIAL)
        try:
            _, connection = await asyncio.get_running_loop().create_unix_connection(cls, sock=line)
        except BaseException:
            line.close()
            raise
        await anext(connection._until_end)
        return connection

    @property
    def idle(self) -> bool:
        """Whether it can be used and no call is under way."""
        return not (self._waiting or self.broken)

    def call(self, body: bytes) -> asyncio.Future[bytes]:
        """The answer to `body`, in time. Raises (in the future) WireBroken, or what the other end raised."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        if self.broken or self._closing:
            answer.set_exception(WireBroken("hung up"))
            return answer
        number = next(self._numbers) & 0xFFFFFFFF
        self._waiting[number] = answer
        answer.add_done_callback(lambda _: self._done(number))
        self._transport.write(frame(number, ASK, body))
        return answer

    def close(self) -> None:
        """Close the connection when the calls under way have finished."""
        self._closing = True
        if not self._waiting:
            self._break("hung up")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # not every event loop's are a subclass

    def data_received(self, data: bytes) -> None:
        for number, kind, body in self._frames.feed(data):
            answer = self._waiting.pop(number, None)
            if answer is None or answer.done():
                continue  # its caller has given up
            if kind == ERROR:
                answer.set_exception(error_of(body))
            else:
                answer.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(str(exc or "the other end closed the connection"))

    def _done(self, number: int) -> None:
        self._waiting.pop(number, None)
        if self._closing and not self._waiting:
            self._break("hung up")

    def _break(self, why: str) -> None:
        if self.broken:
            return
        self.broken = True
        self._transport.abort()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(WireBroken(why))

    async def _until_the_loop_ends(self) -> AsyncGenerator[None]:
        # A loop closes the generators that it began before it ends itself, so what nobody closed leaves no warning behind.
        try:
            yield
        finally:
            self._break("hung up")


class WireConnectionPool:
    """As many connections to one listener as calls are under way: for a listener that answers one call of each at a time."""

    def __init__(self, address: WireAddress) -> None:
        self._address = address
        self._lines: list[WireConnection] = []

    def idle(self) -> WireConnection | None:
        """A connection without a call under way, if there is one."""
        return next((line for line in self._lines if line.idle), None)

    async def add(self) -> WireConnection:
        """One more connection. Raises WireBroken."""
        line = await WireConnection.dial(self._address)
        self._lines = [*(line for line in self._lines if not line.broken), line]
        return line

    def close(self) -> None:
        """Close idle connections; calls under way finish."""
        lines, self._lines = self._lines, []
        for line in lines:
            line.close()


async def reached(address: WireAddress | None) -> WireConnectionPool | None:
    """A connection pool for `address`, if it is one and on this machine."""
    if address is None:
        return None
    lines = WireConnectionPool(address)
    try:
        await lines.add()
    except WireBroken:
        return None
    return lines
