"""A named detached actor for one service of the hub, in its system namespace: get or create, find, stop.

For services above `actors/` (the HTTP gateway): they provide a plain class and need not import Ray themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import ray

from durable_ray.actors.cluster.handles import system_namespace

#: Seconds in which a service answers its first call: a process has to start, and a hub has to be found.
_SECONDS = 90.0


class ServiceActor:
    """Base of a service's class, which has async methods `hello`, which returns once it serves, and `stop`."""

    async def exit(self) -> None:
        """End this process for good; Ray does not restart it."""
        ray.actor.exit_actor()


class DetachedService:
    """One service of a hub by its actor's name. Ray restarts its process when that dies.

    Args:
        name: the actor's name in the hub's system namespace.
        hub: the hub's name.
    """

    def __init__(self, name: str, hub: str) -> None:
        self._name = name
        self._namespace = system_namespace(hub)

    def start(self, actor_class: type[ServiceActor], *args: Any, resources: Mapping[str, float]) -> Any:
        """The result of the service's `hello`; its actor is created unless it exists.

        Args:
            actor_class, args: the class of the actor, and the arguments of its constructor.
            resources: custom resources of the node where it must run.

        Raises what kept it from serving; nothing is left behind then.
        """
        options: dict[str, Any] = {
            "name": self._name,
            "namespace": self._namespace,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": -1,
            "max_concurrency": 10_000,
            "num_cpus": 0,
            "resources": dict(resources),
            "enable_task_events": False,
        }
        bound: Any = ray.remote(actor_class)
        actor = bound.options(**options).remote(*args)
        try:
            return ray.get(actor.hello.remote(), timeout=_SECONDS)
        except ray.exceptions.RayTaskError as error:
            ray.kill(actor)
            raise (error.cause if isinstance(error.cause, Exception) else error) from None

    def hello(self) -> Any:
        """The result of `hello` of the running service; None if there is none."""
        actor = self._actor()
        return None if actor is None else ray.get(actor.hello.remote(), timeout=_SECONDS)

    def stop(self) -> bool:
        """Stop the service; whether there was one."""
        actor = self._actor()
        if actor is None:
            return False
        with contextlib.suppress(ray.exceptions.RayActorError):  # its process ends while it answers
            ray.get(actor.stop.remote(), timeout=_SECONDS)
        return True

    def _actor(self) -> Any:
        try:
            return ray.get_actor(self._name, namespace=self._namespace)
        except ValueError:
            return None
