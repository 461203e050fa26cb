"""What activities ask Ray for and do not get: more than any node has, or what others hold.

Ray says nothing of this to those who wait: a task that cannot be placed is pending, for ever if need be. Here it is put into
words, for the status of the instance that waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ray

from durable_ray.actors.instances.waits import UnmetDemand

log = logging.getLogger("durable_ray.cluster")

_NAMES = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
#: Seconds for Ray's answer about its pending demand.
_SECONDS = 2
#: Ray asks for so much of what only chooses a node.
_SOME = 0.001


def unmet(demands: Mapping[str, Mapping[str, Any]]) -> dict[str, UnmetDemand]:
    """Name -> which resource cannot be had now; without those that get what they ask for.

    Args:
        demands: name -> Ray's task options.
    """
    nodes: list[Mapping[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    bundles = {name: asked for name, options in demands.items() if (asked := _bundle(options))}
    found = {name: _missing(asked, nodes) for name, asked in bundles.items()}
    if left := [name for name, missing in found.items() if missing is None]:
        pending = _pending()
        found |= {name: _busy(bundles[name], pending) for name in left}
    return {name: demand for name, demand in found.items() if demand is not None}


def _bundle(options: Mapping[str, Any]) -> dict[str, float]:
    """What Ray places a task with these options by."""
    asked = {"CPU": 1.0} | {ours: options[name] for name, ours in _NAMES.items() if options.get(name) is not None}
    asked |= options.get("resources") or {}
    if kind := options.get("accelerator_type"):
        asked[f"accelerator_type:{kind}"] = _SOME
    return {name: float(amount) for name, amount in asked.items() if amount}


def _missing(asked: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> UnmetDemand | None:
    """What no node has; None if one has all of it."""
    if any(all(node.get(name, 0.0) >= amount for name, amount in asked.items()) for node in nodes):
        return None
    for name, amount in asked.items():
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if most < amount:
            return UnmetDemand(f"it asks for {name}: {amount:g}, and no node of the cluster has more than {most:g}")
    return UnmetDemand(f"it asks for {_text(asked)}, and no node of the cluster has all of that")


def _busy(asked: Mapping[str, float], pending: Iterable[tuple[Mapping[str, float], int]]) -> UnmetDemand | None:
    """How many requests like it wait in Ray; None if none does."""
    waiting = sum(count for bundle, count in pending if {**bundle} == {**asked})
    if not waiting:
        return None
    return UnmetDemand(f"it asks for {_text(asked)}; such requests pending in Ray: {waiting}", waiting)


def _text(asked: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {amount:g}" for name, amount in asked.items())


def _pending() -> list[tuple[Mapping[str, float], int]]:
    """Ray's pending demand, as `ray status` shows it: (resources, how many requests)."""
    try:
        from ray.autoscaler.v2.sdk import get_cluster_status

        demands = get_cluster_status(ray.get_runtime_context().gcs_address, timeout=_SECONDS).resource_demands
        return [(each.bundle, each.count) for one in demands.ray_task_actor_demand for each in one.bundles_by_count]
    except (
        Exception
    ) as error:  # a release of Ray without it, or a control plane that is busy: no reason to fail a status
        log.info("Ray does not say what is pending: %r", error)
        return []
