"""The actor of one dedicated instance, named exactly as the instance: for drivers that do not use the client.

`ray.get_actor("nightly", namespace="durable_ray")` returns its handle while it is in memory: it passivates when its instance
has merely waited for `idle_timeout`, and a minute after it has finished.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import ray

from durable_ray.actors import errors
from durable_ray.actors.api import RegistryActorApi
from durable_ray.actors.clock import SECOND, monotonic
from durable_ray.actors.cluster.handles import REGISTRY, ctl, find, remote
from durable_ray.actors.cluster.ray_actors.host_actor import HostActor
from durable_ray.actors.cluster.ray_hub import HubInfo, RayPeers
from durable_ray.actors.host.passivation import passivate
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.instances.requests import once_key, raised, termination, why
from durable_ray.actors.instances.status import OrchestrationStatus, result_of, status_of
from durable_ray.actors.instances.waits import WaitFacts, waits_of
from durable_ray.actors.messages import Delivery, Ending, Reply, StartRequest
from durable_ray.orchestrations.authoring.options import UNSET
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.values.times import seconds


class DedicatedActor(HostActor):
    """One instance. Methods answer with the same types and raise the same errors as `durable_ray.Client`."""

    def __init__(self, info: HubInfo, instance_id: str) -> None:
        super().__init__(info, dedicated_host(instance_id))
        self._instance_id = instance_id
        self._touched = monotonic()
        self._asking = 0
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    # --- what a driver calls ----------------------------------------------------------------------

    @ctl
    async def get_status(
        self, show_history: bool = False, show_history_output: bool = False, show_input: bool = True
    ) -> OrchestrationStatus | None:
        """The instance as it stands in the store, as `Client.get_status` shows it; answers also while its code blocks."""
        self._touched = monotonic()
        store = (await asyncio.wrap_future(self._opened)).store
        found = await asyncio.to_thread(store.load, [self._instance_id])
        loaded = found.get(self._instance_id)
        if loaded is None:
            return None
        history = restore(loaded)[0] if show_history else None
        return status_of(
            loaded.row,
            history,
            show_input=show_input,
            show_history_output=show_history_output,
            waiting_for=waits_of(WaitFacts(loaded)),
        )

    async def raise_event(
        self,
        event_name: str,
        data: object = None,
        *,
        when_not_awaited: str = "buffer",
        idempotency_key: str | None = None,
    ) -> None:
        """Send it an event; durable when this returns. See `Client.raise_event` for the arguments.

        Raises:
            InstanceFinished, InstanceNotFound.
            ValueError: it has no name.
        """
        message_id = uuid.uuid4().hex
        event = raised(event_name, data, message_id, when_not_awaited)
        if idempotency_key is None:
            await self._send(message_id, event)
            return
        delivery = Delivery(message_id, self._instance_id, Message(message_id, event))
        # The registry has the keys of all instances, also of those without an actor. It will notify this one, so this
        # one must not passivate meanwhile.
        self._asking += 1
        try:
            key = once_key(event_name, idempotency_key)
            reply = await remote(find(self._info.hub, REGISTRY), RegistryActorApi.deliver_once, delivery, key)
        finally:
            self._asking -= 1
        errors.raise_for(self._instance_id, reply.code, reply.detail)

    async def terminate(self, reason: object = None, recursive: bool = False, cancel_activities: bool = False) -> None:
        """End it; `reason` becomes its output. Raises InstanceFinished, InstanceNotFound."""
        await self._send(uuid.uuid4().hex, termination(reason, recursive, cancel_activities))

    async def suspend(self, reason: str | None = None) -> None:
        """Pause it. Raises InvalidState if it is suspended already."""
        await self._send(uuid.uuid4().hex, ev.ExecutionSuspended(why(reason)))

    async def resume(self, reason: str | None = None) -> None:
        """Let it go on. Raises InvalidState if it is not suspended."""
        await self._send(uuid.uuid4().hex, ev.ExecutionResumed(why(reason)))

    async def wait_for_completion(self, timeout: float | None = None) -> Any:
        """Its output. Raises OrchestrationFailed, OrchestrationTerminated, TimeoutError."""
        limit = seconds(timeout, "timeout")
        until = None if limit is None else monotonic() + limit
        while until is None or monotonic() < until:
            remaining = 10.0 if until is None else until - monotonic()
            endings = await self.wait([self._instance_id], remaining)
            if endings and endings[0].status != "moved":
                return result_of(endings[0])
            if endings:
                break
        raise TimeoutError(f"instance {self._instance_id!r} has not finished after {timeout} s")

    async def _send(self, message_id: str, event: ev.Event) -> None:
        delivery = Delivery(message_id, self._instance_id, Message(message_id, event))
        (reply,) = await self.deliver_many([delivery])
        if reply.code == "moved":
            raise errors.InvalidState(f"the actor of {self._instance_id!r} is leaving memory; use durable_ray.Client")
        errors.raise_for(self._instance_id, reply.code, reply.detail)

    # --- host and passivation ---------------------------------------------------------------------

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Reply]:
        """An instance with an actor of its own is started through the registry."""
        return [Reply("moved")] * len(requests)

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Reply]:
        """See `HostService.deliver_many`."""
        self._touched = monotonic()
        return await super().deliver_many(deliveries)

    async def wait(
        self, instance_ids: Sequence[str], seconds: float, *, start: bool = False, all_of_them: bool = False
    ) -> list[Ending]:
        """See `HostService.wait`."""
        self._touched = monotonic()
        return await super().wait(instance_ids, seconds, start=start, all_of_them=all_of_them)

    async def notify(self, instance_ids: Sequence[str]) -> bool:
        """The store has something for this instance."""
        self._touched = monotonic()
        return await super().notify(instance_ids)

    async def passivate(self) -> bool:
        """Passivate if the instance merely waits or has finished; whether it does."""
        await self._opening
        if self._host.moved or self._asking or not await passivate(self._host, self._instance_id):
            return False
        self._host.waiters.moved(self._host.waiters.waited_for())
        RayPeers(self._info).passivating(self._instance_id, self._host.measured())
        remote(ray.get_runtime_context().current_actor, HostActor.end, self._identity)
        return True

    async def _watch(self) -> None:
        """Passivate after `idle_timeout`, or `linger` of a finished instance."""
        await self._opening
        settings = self._info.settings
        while not self._host.moved:
            active = self._host.instance_cache.peek(self._instance_id)
            stay = settings.linger if active is None else self._idle_timeout(active.row.name, active.row.version)
            idle = monotonic() - self._touched
            if active is not None:
                idle = min(idle, (self._host.clock.now() - active.snapshot.at) / SECOND)
            if stay is not None and idle > stay and not self._soon(active, stay) and await self.passivate():
                return
            await asyncio.sleep(1.0 if stay is None else min(1.0, max(stay / 4, 0.05)))

    def _idle_timeout(self, name: str, version: str) -> float | None:
        known = self._host.definition_cache.known_orchestrator(name, version)
        declared = known.options.idle_timeout if known else UNSET
        if declared is UNSET:
            return self._info.settings.idle_timeout
        return None if declared is None else declared / SECOND

    def _soon(self, active: Any, stay: float) -> bool:
        """Whether it has a timer so near that passivation would not pay."""
        due = None if active is None else active.snapshot.next_due()
        return due is not None and (due - self._host.clock.now()) / SECOND < min(stay, 2.0)
