"""Addresses of Unix sockets, and the mutual authentication of caller and listener before any byte is trusted.

The socket lives in Linux's abstract namespace: nothing on disk, nothing left behind by `kill -9`, no other machine can reach
it. What comes over it is unpickled, so three things must fit: both ends run as the same user (the kernel says so), the
caller shows a key, and the listener shows another. Keys travel only in answers of Ray calls, to whom Ray lets in.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import socket
import struct
import sys

from msgspec import Struct

#: Bytes of a key.
KEY = 32
_BACKLOG = 128


class WireBroken(Exception):
    """The connection could not be made, or ended (or lasted too long) under a call, which may or may not have been done."""


class WireAddress(Struct, frozen=True):
    """A socket and the keys of both ends. Secret: it is the permission to call."""

    name: str
    #: What a caller shows.
    key: bytes
    #: What the listener answers to that.
    proof: bytes

    def __repr__(self) -> str:
        # Without the keys: what is shown ends in logs.
        return f"WireAddress(name={self.name!r})"


def listening() -> tuple[socket.socket, WireAddress] | None:
    """A new listening socket and its address; None where such sockets do not exist, or cannot be had."""
    if sys.platform != "linux":
        return None
    address = WireAddress(f"durable-ray-{secrets.token_hex(16)}", secrets.token_bytes(KEY), secrets.token_bytes(KEY))
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        listener.bind("\0" + address.name)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        return None
    return listener, address


def dialled(address: WireAddress, seconds: float) -> socket.socket:
    """A connection to `address`, whose other end has shown that it is the one. Raises WireBroken."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(seconds)
        line.connect("\0" + address.name)
        if not same_user(line):
            raise WireBroken("another user listens there")
        line.sendall(address.key)
        shown = b""
        while len(shown) < KEY:
            part = line.recv(KEY - len(shown))
            if not part:
                raise WireBroken("the other end closed the connection")
            shown += part
        _believe(shown, address)
    except OSError as error:
        line.close()
        raise WireBroken(str(error)) from error
    except BaseException:
        line.close()
        raise
    return line


async def dialled_in_time(address: WireAddress, seconds: float) -> socket.socket:
    """The same on the running event loop: no thread that the loop's end would have to wait for."""
    loop = asyncio.get_running_loop()
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.setblocking(False)
        async with asyncio.timeout(seconds):
            await loop.sock_connect(line, "\0" + address.name)
            if not same_user(line):
                raise WireBroken("another user listens there")
            await loop.sock_sendall(line, address.key)
            shown = b""
            while len(shown) < KEY:
                part = await loop.sock_recv(line, KEY - len(shown))
                if not part:
                    raise WireBroken("the other end closed the connection")
                shown += part
        _believe(shown, address)
    except OSError as error:
        line.close()
        raise WireBroken(str(error) or type(error).__name__) from error
    except BaseException:
        line.close()
        raise
    return line


def _believe(shown: bytes, address: WireAddress) -> None:
    if not hmac.compare_digest(shown, address.proof):
        raise WireBroken("somebody else listens there")


def same_user(line: socket.socket) -> bool:
    """Whether the process at the other end runs as this one's user."""
    _, user, _ = struct.unpack("3I", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3I")))
    return bool(user == os.geteuid())
