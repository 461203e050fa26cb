"""What `up` and `down` do: find or start Ray, start or stop the hub, and report where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from durable_ray.actors.cluster.older_ray import ray_has_tokens
from durable_ray.actors.cluster.stopping import cluster_address, disconnect, hubs, is_running, stop_hub
from durable_ray.actors.errors import HubUnavailable
from durable_ray.actors.store.urls import shown_url
from durable_ray.cli.exits import CommandError, Exit
from durable_ray.cli.hub import local_ray
from durable_ray.cli.hub.over_ray import HERE, RayHub, no_ray_here, open_ray_hub
from durable_ray.cli.hub.quiet import join_quietly
from durable_ray.config import ClientSettings


@dataclass(frozen=True, slots=True)
class LocalHub:
    """What is where, once the hub is up."""

    hub: RayHub
    facts: dict[str, str]
    started_ray: bool
    was_up: bool


def bring_up(settings: ClientSettings, *, join: bool, new: bool, port: int, ray_arguments: Sequence[str]) -> LocalHub:
    """Make sure of a Ray and of the hub on it. Raises Problem, or what `Client` raises."""
    local_ray.forget_dead()
    head = None if settings.address else local_ray.noted()
    started = False
    if settings.address is None and head is None and (new or not _join_here()):
        if join:
            raise CommandError(
                Exit.UNAVAILABLE, "no Ray is running on this machine", "ray start --head, or durable-ray up alone"
            )
        head = local_ray.start_head(port, ray_arguments)
        started = True
    if head is not None:
        settings = settings.model_copy(update={"address": head.address})
    join_quietly(settings.address or HERE)
    was_up = is_running(settings.hub)
    hub = open_ray_hub(settings)
    return LocalHub(hub, _facts(hub, head), started, was_up)


def _join_here() -> bool:
    try:
        join_quietly(HERE)
    except HubUnavailable:
        return False
    return True


def _facts(hub: RayHub, head: local_ray.LocalRay | None) -> dict[str, str]:
    hello = hub.client._link.hello
    facts = {
        "hub": hello.hub,
        "store": shown_url(hello.store),
        "Ray": cluster_address(),
        "registry": f"process {hello.pid}",
        "partitions": str(hello.partitions),
    }
    if head is not None:
        facts |= {"dashboard": head.dashboard, "Ray's log": head.log, "Ray's process": str(head.pid)}
    if url := hub.gateway():
        facts["gateway"] = url
    token = local_ray.token_file()
    if ray_has_tokens() and token.exists():
        facts["Ray's token"] = str(token)
    return facts


@dataclass(frozen=True, slots=True)
class Stopped:
    """What `down` ended."""

    actors: list[str] = field(default_factory=list)
    #: Process of the Ray that was ended, or None.
    ray_pid: int | None = None
    #: Other hubs for whose sake Ray was left running.
    others: list[str] = field(default_factory=list)


def take_down(settings: ClientSettings, *, keep_ray: bool) -> Stopped:
    """End the hub's own actors, and the Ray that `up` started on this machine unless another hub uses it."""
    local_ray.forget_dead()
    head = None if settings.address else local_ray.noted()
    try:
        join_quietly(settings.address or (head.address if head else HERE))
    except HubUnavailable:
        if settings.address or (head is None):
            raise no_ray_here() from None
        return Stopped(ray_pid=_end(head))
    actors = stop_hub(settings.hub)
    others = hubs()
    if head is None or keep_ray or others:
        return Stopped(actors, None, others if head and not keep_ray else [])
    disconnect()
    return Stopped(actors, _end(head))


def _end(head: local_ray.LocalRay) -> int:
    if not local_ray.stop(head):
        raise CommandError(Exit.FAILURE, f"Ray's process {head.pid} does not end", f"its log: {head.log}")
    return head.pid
