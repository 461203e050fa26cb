"""Ray adapters for the ports of hosts and registry: calls between actors, links to workers, creating and finding actors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pickle
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from msgspec import Struct
from ray.exceptions import ActorUnschedulableError, RayTaskError, RuntimeEnvSetupError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation
from durable_ray.actors.activities.sigterm import ProcessEnds
from durable_ray.actors.activities.worker import ActivityWorker
from durable_ray.actors.activities.worker_client import WorkerEnds, WorkerGone
from durable_ray.actors.api import ActorApi, DedicatedActorApi, HostActorApi, RegistryActorApi
from durable_ray.actors.cluster.demand import unmet
from durable_ray.actors.cluster.handles import (
    REGISTRY,
    WORKER_PREFIX,
    Gone,
    Unavailable,
    find,
    named_in,
    remote,
    system_namespace,
    translated,
    workers_of,
)
from durable_ray.actors.cluster.older_ray import temp_dir
from durable_ray.actors.cluster.process_reserve import ProcessReserve
from durable_ray.actors.cluster.processes import RayProcesses, end_this_process
from durable_ray.actors.cluster.ray_actors.worker_actor import WorkerActor
from durable_ray.actors.host.crash_marker import marker_name
from durable_ray.actors.instances.placement import dedicated_host, environment_of
from durable_ray.actors.instances.waits import UnmetDemand
from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.registry.unopened import CannotOpen
from durable_ray.actors.store.background import next_pause
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.measures import Measured
from durable_ray.actors.store.records import DefinitionRow, InstanceRow
from durable_ray.actors.store.urls import shown_url
from durable_ray.actors.wire.address import WireBroken
from durable_ray.actors.wire.callers import WireConnectionPool, reached
from durable_ray.orchestrations.authoring.options import OrchestratorOptions

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("durable_ray.cluster")

_CREATE_SECONDS = 120.0
_WORKER_SECONDS = 30.0
_UNMET_SECONDS = 3.0


class HubInfo(Struct, frozen=True):
    """The parameters with which every process of a hub starts."""

    hub: str
    store: str
    settings: HubConfig
    #: Boot of the hub in which this process was created; a process of an earlier one is refused its lease.
    boot_epoch: int | None = None

    def __repr__(self) -> str:
        # Without the store's password: what is shown ends in logs.
        return f"HubInfo(hub={self.hub!r}, store={shown_url(self.store)!r}, boot_epoch={self.boot_epoch})"

    @property
    def pin(self) -> dict[str, float]:
        """The resource that keeps hosts and registry at the node that holds a SQLite file; nothing for PostgreSQL.

        A resource, never a node ID: a node that is replaced comes back with another one.
        """
        return {"node:__internal_head__": 0.001} if self.store.startswith("sqlite") else {}

    def marker_path(self, host: str) -> Path:
        """The file in which a host records whose turn it runs."""
        if self.store.startswith("sqlite"):
            folder = Path(self.store.partition("///")[2] + ".markers")
        else:
            folder = Path(temp_dir()) / f"durable_ray-{os.geteuid()}"
        return folder / marker_name(self.store, self.hub, host)


class RayPeers:
    """A host's reports to the registry: one-way calls, batched per iteration of the event loop."""

    def __init__(self, info: HubInfo, identity: str = "") -> None:
        self._info = info
        self._identity = identity
        self._loop = asyncio.get_running_loop()
        self._targets: list[tuple[str, str]] = []

    def notify(self, host: str, instance_ids: Iterable[str], resident: bool) -> None:
        """The store has something for these."""
        if not self._targets:
            self._loop.call_soon(self._flush)
        self._targets.extend((host, instance_id) for instance_id in instance_ids)

    def _flush(self) -> None:
        targets, self._targets = self._targets, []
        self._report(RegistryActorApi.notify_many, targets)

    def finished(self, instance_ids: Iterable[str]) -> None:
        """These dedicated instances have ended."""
        self._report(RegistryActorApi.finished, list(instance_ids))

    def passivating(self, instance_id: str, measured: Measured) -> None:
        """This dedicated host passivates, and this is what it has counted."""
        self._report(RegistryActorApi.passivating, instance_id, measured)

    def fenced(self, host: str) -> None:
        """This host was fenced: report it, and end without being restarted."""
        self._report(RegistryActorApi.fenced, host)
        end_this_process(self._identity)

    def _report(
        self,
        method: Callable[Concatenate[RegistryActorApi, P], Coroutine[Any, Any, Any]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        try:
            remote(find(self._info.hub, REGISTRY), method, *args, **kwargs)
        except Gone:
            log.info("there is no registry now; its sweep will find what was not reported")


class RayWorkerLink:
    """An activity worker, as a host reaches it: over the wire on its own machine, else (and when that breaks) through Ray."""

    def __init__(self, name: str, handle: Any, *, wired: bool = True) -> None:
        self.name = name
        self._handle = handle
        self._wired = wired
        self._lines: WireConnectionPool | None = None

    async def run(
        self, host: str, jobs: Sequence[Invocation], code: Sequence[DefinitionRow], acks: Collection[Address]
    ) -> Sequence[tuple[Address, ActivityResult]]:
        """See `ActivityWorker.run`."""
        results: Sequence[tuple[Address, ActivityResult]]
        packed, answer = pickle.dumps((host, jobs, code, acks), protocol=5), None
        if self._lines is not None:
            try:
                answer = await (self._lines.idle() or await self._lines.add()).call(packed)
            except ProcessEnds as ends:
                raise WorkerEnds(str(ends)) from ends
            except WireBroken:
                pass  # a running worker remembers its jobs: asking again does not run one again
        if answer is None:
            answer = await self._ask(remote(self._handle, WorkerActor.run_packed, packed))
        results = pickle.loads(answer)
        return results

    async def collect(self, host: str, acks: Collection[Address]) -> Sequence[tuple[Address, ActivityResult]]:
        """See `ActivityWorker.collect`."""
        return await self._ask(remote(self._handle, ActivityWorker.collect, host, acks))

    async def held(self, host: str) -> Sequence[Address]:
        """See `ActivityWorker.held`."""
        addresses = await self._ask(remote(self._handle, ActivityWorker.held, host))
        if self._wired:
            self._lines = await reached(await self._ask(remote(self._handle, WorkerActor.wire)))
        return addresses

    def forget(self, host: str, acks: Collection[Address]) -> None:
        """See `ActivityWorker.forget`."""
        remote(self._handle, ActivityWorker.forget, host, acks)

    def cancel(self, host: str, address: Address) -> None:
        """See `ActivityWorker.cancel`."""
        remote(self._handle, ActivityWorker.cancel, host, address)

    async def _ask(self, ref: Awaitable[T]) -> T:
        try:
            return await ref
        except Exception as error:
            meaning = translated(error)
            if isinstance(meaning, ProcessEnds):
                raise WorkerEnds(str(meaning)) from error
            if isinstance(meaning, (Gone, Unavailable)):
                raise WorkerGone(str(meaning), ran=isinstance(meaning, Unavailable)) from error
            raise meaning from error

    def close(self) -> None:
        """Close the connections: each one left open would cost the worker a thread."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None


class RayDetachedActorLink(RayWorkerLink):
    """The actor of a detached activity."""

    async def begin(
        self, host: str, jobs: Sequence[Invocation], code: Sequence[DefinitionRow]
    ) -> Sequence[tuple[Address, ActivityResult]]:
        """See `ActivityWorker.begin`."""
        packed = pickle.dumps((host, jobs, code), protocol=5)
        results: Sequence[tuple[Address, ActivityResult]]
        results = pickle.loads(await self._ask(remote(self._handle, WorkerActor.begin_packed, packed)))
        return results

    def dismiss(self) -> None:
        """End the process."""
        remote(self._handle, WorkerActor.end)


def find_detached_actor(
    info: HubInfo, detached_actor_class: Any, name: str, options: dict[str, Any]
) -> RayDetachedActorLink:
    """The actor of a detached activity, created if there is none. Not restarted by Ray: another attempt is scheduled by us."""
    handle = detached_actor_class.options(
        **{"num_cpus": 1, **options},
        name=name,
        namespace=system_namespace(info.hub),
        lifetime="detached",
        get_if_exists=True,
        max_restarts=0,
    ).remote(info.hub, 1, float("inf"))
    return RayDetachedActorLink(name, handle, wired=info.settings.wire)


class RayHosts:
    """The registry's hand on processes."""

    def __init__(self, info: HubInfo, classes: ActorClasses) -> None:
        self._info = info
        self._classes = classes
        self._creating_workers = asyncio.Lock()
        # Without a pin they may be placed on any node, and processes here would wait in vain.
        self._reserve = ProcessReserve(info.settings.warm_processes if info.pin else 0)

    async def alive(self) -> Collection[str]:
        """IDs of the dedicated instances that have an actor now."""
        return await asyncio.to_thread(named_in, self._info.hub)

    async def ensure_partition(self, host: str, runtime_env: str | None) -> None:
        """Get or create a partition's actor. Raises Unreachable, or what keeps it from being created."""
        options = self._system_options(host)
        if environment_of(host) and runtime_env:
            options["runtime_env"] = json.loads(runtime_env)
        make = self._classes.partition.options(**options).remote
        try:
            await self._until_it_answers(lambda: make(self._info, host), host)
        except (Gone, CannotOpen, RuntimeEnvSetupError, ActorUnschedulableError):
            raise
        except Exception as error:
            raise Unreachable(f"{host}: {error}") from error

    async def create(self, row: InstanceRow, options: OrchestratorOptions | None, runtime_env: str | None) -> None:
        """Create the actor of a dedicated instance; returns when it answers."""
        wanted = self._system_options(row.instance_id)
        wanted["namespace"] = self._info.hub
        if options is not None:
            wanted["num_cpus"] = options.num_cpus or 0
            if options.memory:
                wanted["memory"] = options.memory
            wanted["resources"] = {**self._info.pin, **(options.resources or {})}
        if runtime_env:
            wanted["runtime_env"] = json.loads(runtime_env)
        # A process of another environment cannot be prestarted.
        with contextlib.nullcontext() if runtime_env else self._reserve.taken():
            try:
                await self._until_it_answers(
                    lambda: self._classes.dedicated.options(**wanted).remote(self._info, row.instance_id), row.host
                )
            except (TimeoutError, Gone, Unavailable):
                # It dies or hangs while it opens, and Ray would restart it for ever, taking another's place.
                await self.end(row.instance_id)
                raise

    async def notify(self, host: str, instance_ids: Sequence[str]) -> bool:
        """Notify a host that the store has something for these; False if it is absent or stopping. Raises Unreachable."""
        try:
            return await remote(find(self._info.hub, host), HostActorApi.notify, instance_ids)
        except Exception as error:
            meaning = translated(error)
            if isinstance(meaning, Gone):
                return False
            raise Unreachable(f"{host}: {meaning}") from error

    async def deployed(self, host: str) -> None:
        """Notify a host, if it has an actor, that something was deployed."""
        with contextlib.suppress(Gone):
            await remote(find(self._info.hub, host), HostActorApi.deployed)

    async def unmet(self, demands: Mapping[str, Mapping[str, Any]]) -> Mapping[str, UnmetDemand]:
        """See `Hosts.unmet`."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(unmet, demands), _UNMET_SECONDS)
        except TimeoutError:
            return {}

    async def names(self) -> Collection[str]:
        """The processes that get heartbeats: hosts and workers, by name."""
        return await RayProcesses(self._info.hub).names()

    async def measured(self, host: str) -> Measured:
        """What a host's process has counted. Raises if it does not answer."""
        return await remote(find(self._info.hub, host), HostActorApi.measured)

    async def end(self, instance_id: str) -> None:
        """Kill the actor of a dedicated instance."""
        with contextlib.suppress(Gone):
            ray.kill(find(self._info.hub, dedicated_host(instance_id)))

    async def passivate(self, instance_id: str) -> bool:
        """Ask a dedicated host to passivate, if its instance merely waits or has finished."""
        try:
            return await remote(find(self._info.hub, dedicated_host(instance_id)), DedicatedActorApi.passivate)
        except Exception as error:
            if isinstance(translated(error), (Gone, Unavailable)):
                return False
            raise

    async def workers(self, create: bool) -> list[str]:
        """Names of the hub's activity workers; with `create`, those that are missing on a node are created."""
        if not create:
            return await workers_of(self._info.hub)
        async with self._creating_workers:
            names = await workers_of(self._info.hub)
            return [*names, *await self._create_workers(set(names))]

    async def _create_workers(self, there: Collection[str]) -> list[str]:
        settings = self._info.settings
        here = ray.get_runtime_context().get_node_id()
        wanted: dict[str, str] = {}
        for node in await asyncio.to_thread(ray.nodes):
            cores = int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0
            if node["NodeID"] == here:
                # Ray may be configured with more than there are: processes beyond the cores only slow each other down.
                cores = min(cores, os.cpu_count() or cores)
            for number in range(min(settings.workers, cores) if settings.workers else cores):
                wanted[f"{WORKER_PREFIX}{node['NodeID'][:8]}-{number}"] = node["NodeID"]
        made = {}
        for name in wanted.keys() - there:
            # On this node only: one of a lost node must not move to another, which has its own.
            where = NodeAffinitySchedulingStrategy(wanted[name], soft=False)
            options = {**self._system_options(name), "resources": {}, "scheduling_strategy": where}
            worker = self._classes.worker.options(**options)
            made[name] = worker.remote(self._info.hub, settings.worker_slots, settings.worker_idle)
        # One that does not start in time is found by its name later.
        answers = (asyncio.wait_for(remote(handle, ActivityWorker.pid), _WORKER_SECONDS) for handle in made.values())
        pids = await asyncio.gather(*answers, return_exceptions=True)
        failed = [pid for pid in pids if isinstance(pid, BaseException)]
        if failed and len(failed) == len(made) and not there:
            raise failed[0]
        return [name for name, pid in zip(made, pids, strict=True) if not isinstance(pid, BaseException)]

    def _system_options(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "namespace": system_namespace(self._info.hub),
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": -1,
            "num_cpus": 0,
            "resources": self._info.pin,
        }

    async def _until_it_answers(self, make: Any, host: str) -> None:
        """Get or create until an actor that stays answers: what `get_if_exists` finds may be about to end."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _CREATE_SECONDS
        pause = 0.0
        while True:
            try:
                hello = await asyncio.wait_for(remote(make(), ActorApi.hello), max(end - loop.time(), 1.0))
                if not hello.leaving:
                    return
            except Exception as error:
                if isinstance(error, RayTaskError) and isinstance(error.cause, CannotOpen):
                    raise error.cause from error
                meaning = translated(error)
                if not isinstance(meaning, (Gone, Unavailable)) or loop.time() > end:
                    raise meaning from error
            if loop.time() > end:
                raise TimeoutError(f"host {host!r} did not start in time")
            pause = next_pause(pause, 0.02, 0.5)
            await asyncio.sleep(pause)


class ActorClasses(Struct, frozen=True):
    """The Ray actor classes, injected by `actor_classes` so that imports run one way."""

    partition: Any
    dedicated: Any
    worker: Any
