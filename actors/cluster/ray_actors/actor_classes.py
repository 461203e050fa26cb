"""The hub's Ray actor classes and their options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ray

from durable_ray.actors.api import DedicatedActorApi, HostActorApi, RegistryActorApi
from durable_ray.actors.cluster.ray_actors.host_actor import HostActor
from durable_ray.actors.cluster.ray_actors.instance_actor import DedicatedActor
from durable_ray.actors.cluster.ray_actors.registry_actor import RegistryActor
from durable_ray.actors.cluster.ray_actors.worker_actor import worker_class
from durable_ray.actors.cluster.ray_hub import ActorClasses

_GROUPS = {"ctl": 16}
#: Concurrent calls in one actor: long polls of thousands of clients.
_MANY = 10_000


class _Classes(ActorClasses, frozen=True):
    """Pickled as a call of `classes`, in a few bytes.

    Ray's classes themselves are some 100 KB, which Ray puts into its object store; they are gone from there when the registry
    is restarted with them after its creator has ended.
    """

    def __reduce__(self) -> tuple[Callable[[], ActorClasses], tuple[()]]:
        return classes, ()


@functools.cache
def classes() -> ActorClasses:
    """The Ray actor classes. Bound late, so that importing this package does not start anything."""
    # What is called of each is what it has: the Protocols are checked here, for callers see nothing but a handle.
    partition: type[HostActorApi] = HostActor
    dedicated: type[DedicatedActorApi] = DedicatedActor
    return _Classes(partition=_actor(partition), dedicated=_actor(dedicated), worker=worker_class())


def registry_class() -> Any:
    """The registry's Ray actor class."""
    registry: type[RegistryActorApi] = RegistryActor
    return _actor(registry)


def _actor(plain: Any) -> Any:
    return ray.remote(concurrency_groups=_GROUPS, max_concurrency=_MANY, enable_task_events=False)(plain)
