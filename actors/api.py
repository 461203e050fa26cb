"""What the processes of a hub call of each other: the methods of hosts and registry, as Protocols.

A caller names a method by the function itself (`HostApi.wait`), so arguments and result are type-checked, usages are found and
a renamed method fails the type check; what travels is its `__name__`. Where there is one implementation, a method is named by
that class (`Registry.query`, `ActivityWorker.held`). Those below have several, or are called in both directions, so that an
import of the class would close a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from durable_ray.actors.messages import Delivery, Ending, Hello, Reply, StartRequest
from durable_ray.actors.store.measures import Measured
from durable_ray.actors.wire.address import WireAddress


class HostApi(Protocol):
    """What clients call of a host; the registry answers the same for instances of which no host is known."""

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Reply]:
        """Start instances. Each is durable when this answers."""

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Reply]:
        """Deliver messages to instances, those of one instance in their order. Each is durable when this answers."""

    async def wait(
        self, instance_ids: Sequence[str], seconds: float, *, start: bool = False, all_of_them: bool = False
    ) -> list[Ending]:
        """How these ended (or, with `start`, began): as soon as one has (or all have), or nothing after `seconds`."""


class ActorApi(Protocol):
    """What every actor of a hub that clients call has, whatever it is."""

    async def hello(self) -> Hello:
        """What it is; answered once it is open."""

    async def packed(self, call: bytes) -> bytes:
        """A call as (method, args, kwargs), with its arguments and its answer pickled."""

    async def wire(self) -> WireAddress | None:
        """Where `packed` is called without Ray on the same machine; None if that cannot be had."""

    async def pid(self) -> int:
        """Its process."""

    async def end(self, whose: str = "") -> None:
        """End its process for good; with `whose`, only if it is that one."""


class HostActorApi(HostApi, ActorApi, Protocol):
    """What the registry calls of a host's actor."""

    async def notify(self, instance_ids: Sequence[str]) -> bool:
        """The store has something for these. False: this host passivates."""

    async def deployed(self) -> None:
        """Something was deployed: read it before it is needed."""

    async def measured(self) -> Measured:
        """What this process has counted."""

    async def heartbeat(self, within: float) -> None:
        """The registry's heartbeat; the next follows `within` seconds."""


class DedicatedActorApi(HostActorApi, Protocol):
    """What the registry calls of the actor of one instance."""

    async def passivate(self) -> bool:
        """Passivate if the instance merely waits or has finished; whether it does."""


class RegistryActorApi(ActorApi, Protocol):
    """What hosts call of the registry's actor."""

    async def deliver_once(self, delivery: Delivery, key: str) -> Reply:
        """See `RegistryDelivery.deliver_once`."""

    async def notify_many(self, targets: list[tuple[str, str]]) -> None:
        """The store has something for these (host, instance)."""

    async def finished(self, instance_ids: Sequence[str]) -> None:
        """These dedicated instances have ended."""

    async def passivating(self, instance_id: str, measured: Measured | None = None) -> None:
        """The dedicated host of this instance passivates, and this is what it has counted."""

    async def fenced(self, host: str) -> None:
        """This host was fenced and ends."""

    async def workers(self, create: bool) -> list[str]:
        """Names of the hub's activity workers; with `create`, those that are missing are created."""
