"""The hub as gateway and command line use it: rows, and payloads as text. Pickles are never opened.

A client decodes what it is given, which is right for Python and wrong for a server, or where the user's modules may be missing.
So reading goes past it to the registry, by the client's own steps; writing (values that came in as JSON) uses it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from durable_ray.actors.errors import InstanceNotFound, ScheduleNotFound
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.instances.waits import WaitFacts
from durable_ray.actors.messages import Ending, Reply
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import InstanceRow, Payloads
from durable_ray.client.client import AsyncClient, Client
from durable_ray.client.operations import Operations
from durable_ray.client.router import Router
from durable_ray.client.schedule_documents import (
    ScheduleQuery,
    keeps_input,
    known_schedule,
    read_schedule_token,
    schedule_of,
    schedule_token,
)
from durable_ray.client.schedule_view import ScheduleDescription, described_schedule, described_state
from durable_ray.client.steps import Awaiting, Blocking, Steps, operation
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.schedules.documents import decode_state
from durable_ray.orchestrations.values.ids import InvalidInstanceId, validate_instance_id

P = ParamSpec("P")
R = TypeVar("R")

#: Schedules that are read by one question.
_SCHEDULES = 200


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
    def waiting(self, instance_id: str, payloads: Payloads = "none", history: bool = False) -> Steps[WaitFacts]:
        """An instance's row, with those payloads, and what tells what it waits for. Raises InstanceNotFound."""
        existing(instance_id)
        found = yield from self._router.registry(Registry.waiting, instance_id, payloads, history)
        if found is None:
            raise InstanceNotFound(instance_id)
        return found

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

    @operation
    def schedule(self, schedule_id: str) -> Steps[ScheduleDescription]:
        """A schedule. Raises ScheduleNotFound, also where none can have such an ID."""
        return described_schedule((yield from self._schedule(schedule_id)))

    @operation
    def schedules(
        self, wanted: ScheduleQuery, size: int, token: str | None = None
    ) -> Steps[tuple[list[ScheduleDescription], str | None]]:
        """At most `size` schedules by ID, and the token that continues after them if there are more. Raises InvalidToken."""
        after = "" if token is None else read_schedule_token(token, wanted)
        found: list[ScheduleDescription] = []
        while True:
            page = yield from self._router.registry(Registry.schedules, wanted.id_prefix, after, _SCHEDULES)
            for state in map(decode_state, page):
                if wanted.matches(state):
                    if len(found) == size:
                        return found, schedule_token(found[-1].schedule_id, wanted)
                    found.append(described_state(state))
                after = state.schedule_id
            if len(page) < _SCHEDULES:
                return found, None

    @operation
    def create_schedule(
        self, schedule_id: str, document: Mapping[str, Any], paused: bool, note: str
    ) -> Steps[ScheduleDescription]:
        """Create a schedule of its JSON form. Raises what the client's `create_schedule` raises."""
        created: ScheduleDescription = yield from self.client._create(schedule_id, schedule_of(document), paused, note)
        return created

    @operation
    def update_schedule(
        self, schedule_id: str, document: Mapping[str, Any], version: int | None
    ) -> Steps[ScheduleDescription]:
        """Make a schedule that of this JSON form. Raises what the client's `update_schedule` raises."""
        kept = None
        if keeps_input(document):
            now = described_schedule((yield from self._schedule(schedule_id)))
            kept, version = now.schedule.action.input, now.version if version is None else version
        else:
            known_schedule(schedule_id)
        schedule = schedule_of(document, kept)
        updated: ScheduleDescription = yield from Operations.update_schedule.steps(
            self.client, schedule_id, schedule, version=version
        )
        return updated

    def _schedule(self, schedule_id: str) -> Steps[str]:
        known_schedule(schedule_id)
        text = yield from self._router.registry(Registry.schedule, schedule_id)
        if text is None:
            raise ScheduleNotFound(schedule_id)
        return text


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
