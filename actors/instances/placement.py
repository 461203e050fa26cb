"""Placement: maps an instance ID to its placement and to the name of its host."""

from __future__ import annotations

import hashlib

from durable_ray.actors.store.records import Placement

_DEDICATED = "instance:"
_PARTITION = "partition-"


def partition_host(instance_id: str, partitions: int, environment: str = "") -> str:
    """The partition of a shared instance: a stable hash of its ID, in the hub's runtime environment or another."""
    digest = hashlib.blake2b(instance_id.encode(), digest_size=8).digest()
    return _partition(int.from_bytes(digest, "big") % partitions, environment)


def partition_hosts(partitions: int, environment: str = "") -> tuple[str, ...]:
    """All partitions of an environment, whether they have a process or not."""
    return tuple(_partition(number, environment) for number in range(partitions))


def _partition(number: int, environment: str) -> str:
    return f"{_PARTITION}{number}@{environment}" if environment else f"{_PARTITION}{number}"


def dedicated_host(instance_id: str) -> str:
    """The host name of a dedicated instance (its Ray actor is named exactly as the instance)."""
    return _DEDICATED + instance_id


def is_dedicated(host: str) -> bool:
    """Whether a host name is that of a dedicated instance."""
    return host.startswith(_DEDICATED)


def is_host(name: str) -> bool:
    """Whether this is the name of a host, and not of a worker or another process of the hub."""
    return name.startswith((_PARTITION, _DEDICATED))


def instance_of(host: str) -> str:
    """The instance whose dedicated host this is."""
    return host.removeprefix(_DEDICATED)


def environment_of(host: str) -> str:
    """The runtime environment of a partition host ("" for none)."""
    return host.partition("@")[2] if host.startswith(_PARTITION) else ""


def choose(declared: Placement | None, asked: Placement | None, default: Placement, *, named: bool) -> Placement:
    """The placement: what the starter asks, else what the orchestrator declares, else by who chose the ID.

    Random IDs exist to spread load, chosen IDs to be singletons.
    """
    return asked or declared or (default if named else "shared")


def host_of(placement: Placement, instance_id: str, partitions: int, environment: str = "") -> str:
    """The host name that goes with a placement."""
    if placement == "dedicated":
        return dedicated_host(instance_id)
    return partition_host(instance_id, partitions, environment)
