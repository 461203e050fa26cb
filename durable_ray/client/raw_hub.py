"""The hub as gateway and command line use it: rows, and payloads as text. Pickles are never opened.

A client decodes what it is given, which is right for Python and wrong for a server, or where the user's modules may be missing.
So reading goes past it to the registry, by the client's own steps; writing (values that came in as JSON) uses it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from durable_ray.actors.errors import InstanceNotFound
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.messages import Ending, Reply
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import InstanceRow, Payloads
from durable_ray.client.client import AsyncClient, Client
from durable_ray.client.router import Router
from durable_ray.client.steps import Awaiting, Blocking, Steps, operation
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.values.ids import InvalidInstanceId, validate_instance_id

P = ParamSpec("P")
R = TypeVar("R")


class _Raw:
    """One hub, seen through one client."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.hub: str = client.hub
        self._driver = client._driver
        self._router: Router = client._router

    @operation
    def row(self, instance_id: str, payloads: Payloads = "none") -> Steps[InstanceRow]:
        """An instance's row, with those payloads. Raises InstanceNotFound, also where no instance can have such an ID."""
        existing(instance_id)
        found = yield from self._router.registry(Registry.row, instance_id, False, payloads)
        if found is None:
            raise InstanceNotFound(instance_id)
        return found.row

    @operation
    def with_history(self, instance_id: str) -> Steps[tuple[InstanceRow, list[Event]]]:
        """An instance's row with the events of its current execution. Raises InstanceNotFound, DamagedHistory."""
        existing(instance_id)
        found = yield from self._router.registry(Registry.row, instance_id, True)
        if found is None:
            raise InstanceNotFound(instance_id)
        return found.row, restore(found)[0]

    @operation
    def wait(self, instance_id: str, seconds: float) -> Steps[Ending | None]:
        """How an instance ended; None if it has not after `seconds`. One call held open, no polling."""
        return (yield from self._router.wait(instance_id, seconds))


class RawHub(_Raw, Awaiting):
    """Awaited, for the gateway."""

    client: AsyncClient

    async def ask(
        self, method: Callable[Concatenate[Registry, P], Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a method of the registry."""
        return await self.client._driver.run(self.client._router.registry(method, *args, **kwargs))

    async def to_each(
        self,
        matched: Sequence[tuple[str, int | None]],
        make: Callable[[str], Event] | None,
        reason: str | None = None,
        version: str | None = None,
    ) -> list[Reply]:
        """Send each the event that `make` makes (None: rewind it); see `BulkOperations._to_each`."""
        return await self.client._driver.run(self.client._to_each(matched, make, reason, version))


class BlockingRawHub(_Raw, Blocking):
    """Blocking, for the command line."""

    client: Client

    def ask(
        self, method: Callable[Concatenate[Registry, P], Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a method of the registry."""
        return self.client._driver.run(self.client._router.registry(method, *args, **kwargs))


def existing(instance_id: str) -> None:
    """Raises InstanceNotFound for an ID that no instance can have: nothing of the kind reaches the hub."""
    try:
        validate_instance_id(instance_id)
    except InvalidInstanceId:
        raise InstanceNotFound(instance_id) from None
