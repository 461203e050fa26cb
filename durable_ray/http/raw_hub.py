"""The hub as the gateway uses it: rows, and payloads as text. Pickles are never opened.

`AsyncClient` opens what it is given, which is right for Python and wrong for a server; so reading goes past it to the
registry, by the client's own steps, and only writing (values that came in as JSON) uses the client as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from durable_ray.actors.messages import Ending, PurgedPage, Reply
from durable_ray.actors.store.records import DefinitionRow, InstanceQuery, InstanceRow, Page, Payloads, Standing
from durable_ray.client.client import AsyncClient
from durable_ray.orchestrations.history.codec import decode_events
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.values.ids import InvalidInstanceId, validate_instance_id
from durable_ray.orchestrations.values.payloads import from_json_text


class RawHub:
    """One hub, seen through one client."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    @property
    def hub(self) -> str:
        """The hub's name."""
        return self.client.hub

    async def row(self, instance_id: str, payloads: Payloads = "all") -> InstanceRow | None:
        """An instance's row, with those payloads; None if there is none, also where no instance can have such an ID."""
        found = await self._row(instance_id, False, payloads)
        return found[0] if found else None

    async def rows(self, instance_ids: Sequence[str]) -> Mapping[str, InstanceRow]:
        """Those of the named instances that exist, without payloads."""
        found: Mapping[str, InstanceRow] = await self._ask("rows", list(instance_ids), "none")
        return found

    async def with_history(self, instance_id: str) -> tuple[InstanceRow, list[Event]] | None:
        """An instance's row with the events of its current execution."""
        found = await self._row(instance_id, True, "all")
        if found is None:
            return None
        return found[0], [event for chunk in found[1] for event in decode_events(chunk)]

    async def _row(
        self, instance_id: str, history: bool, payloads: Payloads
    ) -> tuple[InstanceRow, tuple[str, ...]] | None:
        if not can_exist(instance_id):
            return None
        found: tuple[InstanceRow, tuple[str, ...]] | None = await self._ask("row", instance_id, history, payloads)
        return found

    async def query(self, query: InstanceQuery, limit: int, token: str | None = None) -> Page:
        """A page of instances; fewer than `limit` where they are large. Raises InvalidToken."""
        page: Page = await self._ask("query", query, limit, token)
        return page

    async def live_standings(self, after: tuple[str, str], limit: int) -> list[tuple[str, Standing]]:
        """The standings of live instances, by host and ID."""
        found: list[tuple[str, Standing]] = await self._ask("live_standings", after, limit)
        return found

    async def ended_standings(self, after: tuple[int, str], limit: int) -> list[tuple[int, Standing]]:
        """The standings of ended instances, by their end and ID."""
        found: list[tuple[int, Standing]] = await self._ask("ended_standings", after, limit)
        return found

    async def count(self, query: InstanceQuery) -> int:
        """How many instances match."""
        return int(await self._ask("count", query))

    async def counts(self) -> Mapping[tuple[str, str], int]:
        """(name, status) -> how many."""
        found: Mapping[tuple[str, str], int] = await self._ask("counts")
        return found

    async def definitions(self) -> Sequence[DefinitionRow]:
        """All that is deployed, without the code."""
        found: Sequence[DefinitionRow] = await self._ask("definitions")
        return found

    async def wait(self, instance_id: str, seconds: float) -> Ending | None:
        """How an instance ended; None if it has not after `seconds`. One call held open, no polling."""
        return await self.client._driver.run(self.client._router.wait(instance_id, seconds))

    async def purge_page(
        self, query: InstanceQuery, limit: int, token: str | None = None, recursive: bool = False
    ) -> PurgedPage:
        """Delete the finished ones among the next instances that match. Raises InvalidToken."""
        page: PurgedPage = await self._ask("purge_page", query, limit, token, recursive)
        return page

    async def to_each(
        self,
        matched: Sequence[tuple[str, int | None]],
        make: Callable[[str], Event] | None,
        reason: str | None = None,
        version: str | None = None,
    ) -> list[Reply]:
        """Send each the event that `make` makes (None: rewind it); see `Bulk._to_each`."""
        return await self.client._driver.run(self.client._to_each(matched, make, reason, version))

    async def _ask(self, method: str, *args: Any) -> Any:
        return await self.client._driver.run(self.client._router.registry(method, *args))


def can_exist(instance_id: str) -> bool:
    """Whether an instance may have this ID at all."""
    try:
        validate_instance_id(instance_id)
    except InvalidInstanceId:
        return False
    return True


def value_from_outside(body: bytes, *, twice: bool = False) -> Any:
    """The JSON value of a request body; None for an empty one.

    Args:
        twice: the sender (Azure's Python client) writes JSON, and then that text as JSON once more.

    Raises:
        PayloadNotJson, PayloadTooLarge.
    """
    if not body.strip():
        return None
    value = from_json(from_json_text(body))
    if twice and isinstance(value, str):
        try:
            return from_json(from_json_text(value))
        except ValueError:
            return value
    return value
