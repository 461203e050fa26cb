"""Queries of instances, from indexes of the store, and waiting for one that has no process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from durable_ray.actors.activities.permits import activity_limits
from durable_ray.actors.host.service import SLICE
from durable_ray.actors.instances.histories import damage
from durable_ray.actors.instances.waiters import ending_of
from durable_ray.actors.instances.waits import WaitFacts
from durable_ray.actors.messages import Ending
from durable_ray.actors.registry.core import RegistryCore
from durable_ray.actors.store.measures import Measured
from durable_ray.actors.store.records import (
    LIVE,
    DefinitionRow,
    InstanceQuery,
    InstanceRow,
    Loaded,
    Page,
    Payloads,
    Standing,
)


class RegistryQueries(RegistryCore):
    """Read-only methods of the registry."""

    async def definitions(self) -> list[DefinitionRow]:
        """All definitions that are deployed, without their code."""
        return [row for row in await self.blocking(self.store.definitions) if not row.absent]

    async def resolve(self, instance_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """instance_id -> (host, status) of those that exist."""
        rows = await self.rows(instance_ids, "none")
        return {instance_id: (row.host, row.status) for instance_id, row in rows.items()}

    async def row(self, instance_id: str, history: bool = False, payloads: Payloads = "all") -> Loaded | None:
        """An instance's row (with those payloads) or, if asked for, all of it with the encoded chunks of its history; without
        its inbox."""
        if history:
            loaded = (await self.blocking(lambda: self.store.load([instance_id]))).get(instance_id)
            return loaded and replace(loaded, inbox=())
        row = (await self.rows([instance_id], payloads)).get(instance_id)
        return Loaded(row, (), ()) if row else None

    async def waiting(self, instance_id: str, payloads: Payloads = "all", history: bool = False) -> WaitFacts | None:
        """An instance with what tells what it waits for. A live one comes with its history, a finished one if `history`."""
        loaded = await self.blocking(partial(self._loaded, instance_id, payloads, history))
        if loaded is None:
            return None
        facts, row = WaitFacts(loaded, place=self.admission.place(loaded.row)), loaded.row
        if row.finished or not row.outstanding:
            return facts
        if limits := activity_limits(self.definition_cache, self.settings):
            held = await self.blocking(partial(self.store.permits, row.host))
            facts = replace(
                facts, limits=limits, permits=tuple(each for each in held if each[0].instance_id == instance_id)
            )
        if demands := self._demands():
            facts = replace(facts, unmet=await self.hosts.unmet(demands))
        return facts

    def _loaded(self, instance_id: str, payloads: Payloads, history: bool) -> Loaded | None:
        row = self.store.rows([instance_id], payloads).get(instance_id)
        if row is None:
            return None
        if row.finished and not history:
            return Loaded(row, (), ())
        loaded = self.store.load([instance_id]).get(instance_id)
        if loaded is None:
            return None
        row = loaded.row
        return replace(
            loaded,
            inbox=(),
            row=replace(
                row,
                input=row.input if payloads == "all" else None,
                output=None if payloads == "none" else row.output,
            ),
        )

    def _demands(self) -> dict[str, Mapping[str, Any]]:
        """Activity's name -> Ray's options, of those that Ray places."""
        known = map(self.definition_cache.known_activity, self.definition_cache.activity_names())
        return {each.row.name: options for each in known if each and (options := each.options.ray_options())}

    async def rows(self, instance_ids: Sequence[str], payloads: Payloads = "all") -> dict[str, InstanceRow]:
        """Those of the named instances that exist."""
        return dict(await self.blocking(lambda: self.store.rows(instance_ids, payloads)))

    async def query(self, query: InstanceQuery, limit: int, token: str | None = None) -> Page:
        """A page of instances, by created time."""
        return await self.blocking(lambda: self.store.query(query, limit, token))

    async def live_standings(self, after: tuple[str, str], limit: int) -> list[tuple[str, Standing]]:
        """The standings of live instances, page by page."""
        return await self.blocking(lambda: self.store.live_standings(after, limit))

    async def ended_standings(self, after: tuple[int, str], limit: int) -> list[tuple[int, Standing]]:
        """The standings of instances that ended after some time, page by page."""
        return await self.blocking(lambda: self.store.ended_standings(after, limit))

    async def damaged(self, limit: int, token: str | None = None) -> tuple[list[tuple[str, str]], str | None]:
        """Of the next `limit` unfinished instances those whose history or inbox is damaged, with the damage; and the token
        that continues. Hosts find damage when they load an instance; this also reads those that are not loaded."""

        def read() -> tuple[list[tuple[str, str]], str | None]:
            page = self.store.query(InstanceQuery(statuses=LIVE, payloads="none"), limit, token)
            loaded = self.store.load([row.instance_id for row in page.rows])
            return [(name, damaged) for name, each in loaded.items() if (damaged := damage(each))], page.token

        return await self.blocking(read)

    async def count(self, query: InstanceQuery) -> int:
        """How many instances match."""
        return await self.blocking(lambda: self.store.count(query))

    async def histogram(self, query: InstanceQuery, width: int) -> Mapping[tuple[int, str], int]:
        """(bin, status) -> how many match, in bins of `width` µs from the query's `created_from` on."""
        return await self.blocking(lambda: self.store.histogram(query, width))

    async def counts(self) -> Mapping[tuple[str, str], int]:
        """(name, status) -> how many."""
        return await self.blocking(self.store.counts)

    async def measured(self) -> Measured:
        """The numbers of the whole hub, in bounded time; hosts that do not answer are counted."""
        load, counts = await asyncio.gather(self.blocking(self.store.load_now), self.counts())
        snapshot = await self.hub_measures.gather(load, counts)
        snapshot.gauges["places_taken",] = len(self.admission.actors)
        snapshot.gauges["places",] = self.admission.limit
        return snapshot

    async def wait(
        self, instance_ids: Sequence[str], seconds: float, *, start: bool = False, all_of_them: bool = False
    ) -> list[Ending]:
        """How these ended; "moved" for those that are in memory somewhere: ask there."""
        futures = {i: (self.waiters.start(i) if start else self.waiters.end(i)) for i in instance_ids}
        try:
            rows = await self.rows(instance_ids, "output")
            done = [self._standing(i, rows.get(i), start) for i in instance_ids]
            found = [ending for ending in done if ending is not None]
            if not found and futures:
                await asyncio.wait(futures.values(), timeout=min(seconds, SLICE), return_when=asyncio.FIRST_COMPLETED)
                found = [future.result() for future in futures.values() if future.done()]
            return found
        finally:
            for instance_id, future in futures.items():
                self.waiters.forget(instance_id, future)

    def _standing(self, instance_id: str, row: InstanceRow | None, start: bool) -> Ending | None:
        if row is None:
            return Ending(instance_id, "absent")
        if row.finished or (start and row.turn):
            return ending_of(row)
        if row.placement == "shared" or self.admission.is_running(instance_id):
            return Ending(instance_id, "moved")
        return None
