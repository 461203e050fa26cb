"""A named detached actor that serves one thing for the whole hub, in its system namespace: made once, found, stopped.

For services above `actors/` (the HTTP gateway): they bring a plain class and need not import Ray themselves.
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
    """What a served class derives from. It has async methods `hello`, which answers once it serves, and `stop`."""

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
        """What `hello` of the service answers; its actor is made unless it is there.

        Args:
            actor_class, args: whose actor is made, and what it is constructed with.
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
        """What `hello` of the running service answers; None if there is none."""
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
