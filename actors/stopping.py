"""Ending a hub's processes. Nothing is lost: the next client on the store goes on where they stopped."""

from __future__ import annotations

import contextlib

import ray

from durable_ray.actors.handles import REGISTRY, named_in, system_namespace


def stop_hub(hub: str) -> int:
    """End every actor of the hub, the registry first (it would revive the others); how many there were."""
    stopped = 0
    for namespace in (system_namespace(hub), hub):
        names = named_in(namespace)
        for name in sorted(names, key=lambda name: name != REGISTRY):
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, namespace=namespace), no_restart=True)
                stopped += 1
    return stopped
