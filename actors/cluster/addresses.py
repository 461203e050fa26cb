"""Comparing the address of a requested Ray cluster with that of the cluster this process has joined.

A process is in one Ray cluster at a time. A request for another is an error, or the wrong hub would be managed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection

#: The addresses of a host, by its name.
Resolve = Callable[[str], Collection[str]]

#: Accepted by Ray instead of an address: whichever cluster is running here.
_ANY = frozenset({"auto", "local"})


def resolved(host: str) -> frozenset[str]:
    """Every address of a host; just its name if it has none.

    Example:
        >>> resolved("127.0.0.1")
        frozenset({'127.0.0.1'})
    """
    try:
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset({host})


def is_same_cluster(asked: str, joined: str, here: str, resolve: Resolve = resolved) -> bool:
    """Whether `asked` may mean the cluster at `joined`.

    Args:
        asked: as `ray.init` takes it: `host:port`, `ray://host:port` (of which only the host can be compared), "auto", "local".
        joined: `host:port` of the cluster that this process is in.
        here: address of this machine, as that cluster knows it.

    Example:
        >>> is_same_cluster("127.0.0.1:6379", "10.0.0.7:6379", here="10.0.0.7")
        True
        >>> is_same_cluster("127.0.0.1:6380", "10.0.0.7:6379", here="10.0.0.7")
        False
    """
    if asked in _ANY or asked == joined:
        return True
    scheme, _, rest = asked.rpartition("://")
    host, port = _split(rest)
    joined_host, joined_port = _split(joined)
    if port != joined_port and scheme != "ray":
        return False
    return bool(_addresses(host, here, resolve) & _addresses(joined_host, here, resolve))


def _addresses(host: str, here: str, resolve: Resolve) -> set[str]:
    """All addresses of a host; for this machine, also the one by which the cluster knows it."""
    found = set(resolve(host))
    if any(address.startswith("127.") or address == "::1" for address in found):
        found.add(here)
    return found


def _split(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), port) if host else (port, "")
