"""`python -m durable_ray.actors.cluster.boot ADDRESS`: create a hub's registry from a job of its own.

Reads hub, store, settings and whether the hub is known from standard input, as a JSON list: the store's URL may contain
a password.

Detached actors inherit the runtime environment of the job that creates them, and a job's package is gone with its cluster.
"""

from __future__ import annotations

import json
import sys

from durable_ray.actors.cluster.connecting import ensure_registry, join_ray, make_known_registry
from durable_ray.actors.cluster.ray_hub import HubInfo
from durable_ray.actors.store.hub_config import HubConfig


def main(arguments: list[str]) -> None:
    """Join the cluster at ADDRESS and create the registry."""
    (address,) = arguments
    hub, store, settings, known = json.load(sys.stdin)
    join_ray(address)
    info = HubInfo(hub, store, HubConfig.from_json(settings))
    if known:
        make_known_registry(info)
    else:
        ensure_registry(info)


if __name__ == "__main__":
    main(sys.argv[1:])
