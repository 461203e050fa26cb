"""Handles of the hub's actors by name, and Ray's errors translated into Gone and Unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayActorError, RayTaskError

from durable_ray.actors.instances.placement import instance_of, is_dedicated
from durable_ray.actors.registry.actor_lifecycle import Unreachable

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

REGISTRY = "registry"
WORKER_PREFIX = "worker-"


class Gone(Exception):
    """There is no such actor (now): the call was not made, or its process is dead."""


class Unavailable(Exception):
    """The actor did not answer; the call may or may not have been made."""


def system_namespace(hub: str) -> str:
    """Namespace of registry, partitions, workers and gateway: no instance ID can collide with them."""
    return f"{hub}/system"


def address_of(hub: str, target: str) -> tuple[str, str]:
    """(Ray name, Ray namespace) of the registry or of a host. A dedicated instance's actor is named as the instance."""
    if is_dedicated(target):
        return instance_of(target), hub
    return target, system_namespace(hub)


def find(hub: str, target: str) -> Any:
    """The handle of the registry or of a host. Raises Gone if there is no such actor."""
    name, namespace = address_of(hub, target)
    try:
        return ray.get_actor(name, namespace=namespace)
    except ValueError as error:
        raise Gone(target) from error


def in_group(group: str) -> Callable[[F], F]:
    """Give the calls of a method threads of their own. `ray.method`, with the method's types."""
    marked: Callable[[F], F] = ray.method(concurrency_group=group)
    return marked


def ctl(method: F) -> F:
    """Answer the calls of this method also while user code blocks the actor's event loop, or all its threads."""
    return in_group("ctl")(method)


@overload
def remote(
    actor: Any, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
) -> Awaitable[R]: ...
@overload
def remote(actor: Any, method: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]: ...
def remote(actor: Any, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method of an actor, named as its API declares it (`HostActorApi.notify`)."""
    return getattr(actor, method.__name__).remote(*args, **kwargs)


def named_in(namespace: str) -> list[str]:
    """Names of the living actors of a namespace."""
    listed = ray.util.list_named_actors(all_namespaces=True)
    return [str(actor["name"]) for actor in listed if actor["namespace"] == namespace]


async def workers_of(hub: str) -> list[str]:
    """Names of the hub's living activity workers."""
    names = await asyncio.to_thread(named_in, system_namespace(hub))
    return [name for name in names if name.startswith(WORKER_PREFIX)]


def translated(error: Exception) -> Exception:
    """Translate an error of a Ray call: Gone, Unavailable, or what the method itself raised."""
    if isinstance(error, ActorDiedError):
        return Gone(_in_short(error))
    if isinstance(error, (ActorUnavailableError, GetTimeoutError, RayActorError)):
        return Unavailable(_in_short(error))
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause
    # What the registry could not reach may be reachable later: its caller retries.
    return Unavailable(str(error)) if isinstance(error, Unreachable) else error


def _in_short(error: Exception) -> str:
    """What happened and why: the first line of Ray's message, and the last, which names the cause of a failed start."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1].strip()}"
