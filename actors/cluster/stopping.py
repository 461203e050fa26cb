"""Listing the hubs on the cluster that this process has joined, and stopping one while the cluster goes on.

Nothing is lost by it: the store has everything, and the next boot recovers it.
"""

from __future__ import annotations

import time

import ray

from durable_ray.actors.cluster.handles import REGISTRY, named_in, system_namespace

#: Seconds an actor is given to end by itself before it is killed; a long poll in progress delays its end.
_GRACE = 3.0


def cluster_address() -> str:
    """The address of the cluster of this process."""
    return str(ray.get_runtime_context().gcs_address)


def disconnect() -> None:
    """Disconnect from the cluster."""
    ray.shutdown()


def is_running(hub: str) -> bool:
    """Whether the hub has a registry on this cluster. Creates none."""
    return REGISTRY in named_in(system_namespace(hub))


def hubs() -> list[str]:
    """The hubs that have a registry on this cluster."""
    listed = ray.util.list_named_actors(all_namespaces=True)
    namespaces = [str(actor["namespace"]) for actor in listed if actor["name"] == REGISTRY]
    return sorted(name.removesuffix("/system") for name in namespaces if name.endswith("/system"))


def stop_hub(hub: str) -> list[str]:
    """End the hub's actors, the registry first (it would recreate the others); the names of those that ran.

    Repeats until none is left: a host may have been starting when its registry ended.
    """
    stopped: list[str] = []
    system = system_namespace(hub)
    while named_in(system) or named_in(hub):  # again, if that took so long that a host has created another registry
        for namespace, only_registry in ((system, True), (hub, False), (system, False)):
            while names := [name for name in named_in(namespace) if name == REGISTRY or not only_registry]:
                stopped += [name for name in names if name not in stopped]
                _end(names, namespace)
    return stopped


def _end(names: list[str], namespace: str) -> None:
    handles = {}
    for name in names:
        try:
            handles[name] = ray.get_actor(name, namespace=namespace)
        except ValueError:
            continue
        for method in ("end", "stop"):
            if hasattr(handles[name], method):
                getattr(handles[name], method).remote()
                break
    until = time.monotonic() + _GRACE
    while (left := handles.keys() & set(named_in(namespace))) and time.monotonic() < until:
        time.sleep(0.05)
    for name in left:
        ray.kill(handles[name], no_restart=True)
