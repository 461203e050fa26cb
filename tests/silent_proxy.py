"""A TCP proxy that can go silent: what is sent to it is acknowledged and goes nowhere, and nothing is refused or closed.

So do a frozen machine, a failed load balancer and a firewall that forgot a connection.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class SilentProxy:
    """Connections to `port` reach a port of this machine, until it is hushed."""

    def __init__(self, target: int, address: str = "127.0.0.1") -> None:
        self._target = target
        self._listening = socket.create_server((address, 0))
        self.port: int = self._listening.getsockname()[1]
        self._silent = False
        self._sockets: list[socket.socket] = []
        #: Connections that were there when it was hushed stay silent.
        self._hushed: set[int] = set()
        self._guard = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def hush(self, new: bool = True) -> None:
        """Nothing of these connections goes through any more; nor (with `new`) of those that are made from now on."""
        with self._guard:
            self._silent = new
            self._hushed.update(id(each) for each in self._sockets)

    def talk(self) -> None:
        """Connections that are made from now on go through."""
        self._silent = False

    def close(self) -> None:
        """Close everything."""
        self._listening.close()
        with self._guard:
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if self._silent:
                    with self._guard:
                        self._sockets.append(near)
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                with self._guard:
                    self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                with self._guard:
                    hushed = id(one) in self._hushed
                if not hushed:
                    other.sendall(data)
            if id(one) not in self._hushed:
                other.shutdown(socket.SHUT_WR)


@contextmanager
def silent_proxy(target: int, address: str = "127.0.0.1") -> Iterator[SilentProxy]:
    """A proxy in front of a port of this machine, listening at one of its addresses."""
    proxy = SilentProxy(target, address)
    try:
        yield proxy
    finally:
        proxy.close()
