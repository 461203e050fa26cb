"""Management of finished instances: rewind, restart, purge; and the address of the hub's gateway."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from durable_ray.actors.instances.placement import is_dedicated
from durable_ray.actors.instances.rewind_plan import Move
from durable_ray.actors.messages import PurgedPage, Reply, StartOptions, StartRequest
from durable_ray.actors.registry.delivery import RegistryDelivery
from durable_ray.actors.registry.rewind import Rewinder
from durable_ray.actors.store.records import FINISHED, InstanceQuery, RowVersion
from durable_ray.actors.wire.management_urls import GatewayAddress

_CHILDREN = 1000


class RegistryManagement(RegistryDelivery):
    """Operations on instances that have finished: the registry does them, for they have no host any more."""

    _gateway: GatewayAddress | None = None
    _rewinder: Rewinder | None = None

    # --- rewind and restart -----------------------------------------------------------------------

    async def rewind(
        self,
        request_id: str,
        instance_id: str,
        reason: str | None = None,
        moves: Mapping[str, Move] | None = None,
        created_at: int | None = None,
    ) -> Reply:
        """Rewind a failed or terminated instance: what failed runs again. With `moves`, on other code: see there.

        With `created_at` only the instance that was created then, no later one of its ID.
        """
        reply, rewound = await (await self._rewinds()).rewind(request_id, instance_id, reason, moves, created_at)
        absent = [i for host, i in rewound if is_dedicated(host) and not self.admission.has(i)]
        if absent:
            await self.blocking(lambda: self.store.mark_resident(absent, False))
        await self.notifier.notify(rewound)
        return reply

    async def moves(self, instance_id: str) -> Reply | list[Move]:
        """The newest code of an instance and of what failed below it; or why none of it can be rewound.

        Whether a history replays there is checked by the instance's host.
        """
        return await (await self._rewinds()).moves(instance_id)

    async def _rewinds(self) -> Rewinder:
        if self._rewinder is None:
            self._rewinder = Rewinder(
                self.store,
                self._committer,
                self._instance_factory,
                self.definition_cache,
                self.clock,
                self.settings,
                self.blocking,
            )
        await self.deployments.refresh()
        return self._rewinder

    async def restart(self, request_id: str, instance_id: str, new_id: str, revision: int = 0) -> Reply:
        """Start `new_id` with the name, input and tags of `instance_id`, on the newest code."""
        known = await self._recorded([request_id])
        if request_id in known:
            return known[request_id]
        row = (await self.rows([instance_id])).get(instance_id)
        if row is None:
            return Reply("absent")
        start_options = StartOptions.like(
            row,
            instance_id=new_id,
            execution_id=uuid.uuid4().hex,
            named=new_id == instance_id,
            version=None,
            start_at=None,
        )
        (reply,) = await self.start_many([StartRequest(request_id, start_options, revision=revision)])
        return reply

    # --- purge ------------------------------------------------------------------------------------

    async def purge(self, instance_id: str, recursive: bool = False) -> int:
        """Delete a finished instance (and its finished children); answers how many."""
        rows = await self.rows([instance_id])
        return await self._purge([row.row_version for row in rows.values() if row.finished], recursive)

    async def purge_page(
        self, query: InstanceQuery, limit: int, token: str | None = None, recursive: bool = False
    ) -> PurgedPage:
        """Delete the finished ones among the next `limit` instances that match."""
        asked = [status for status in query.statuses if status in FINISHED]
        if query.statuses and not asked:
            return PurgedPage(0, None)
        finished = replace(query, statuses=tuple(asked or FINISHED), payloads="none")
        page = await self.blocking(lambda: self.store.query(finished, limit, token))
        deleted = await self._purge([row.row_version for row in page.rows], recursive)
        return PurgedPage(deleted, page.token)

    async def _purge(
        self, matched: Sequence[RowVersion], recursive: bool, ancestors: tuple[RowVersion, ...] = ()
    ) -> int:
        """Delete what was matched, unless it has changed. Children first: a repeated call after an interruption still finds
        the parent and goes on."""
        if not matched:
            return 0
        deleted = 0
        if recursive:
            for version in matched:
                deleted += await self._purge_children((*ancestors, version))
        await self._passivate(matched)
        return deleted + len(await self.blocking(lambda: self.store.purge(matched, ancestors)))

    async def _passivate(self, matched: Sequence[RowVersion]) -> None:
        """Passivate the actors that linger where one of these finished. Their leases are purged with the instances, so they
        could commit nothing more, and a new start of the same ID would be routed to one of them in vain."""
        lingering = {
            version.instance_id: version for version in matched if self.admission.is_running(version.instance_id)
        }
        if lingering:
            rows = await self.rows(list(lingering))
            over = [row for row in rows.values() if row.finished and row.row_version == lingering[row.instance_id]]
            await asyncio.gather(*(self.admission.passivate(row.instance_id) for row in over))

    async def _purge_children(self, ancestors: tuple[RowVersion, ...]) -> int:
        deleted, token = 0, None
        query = InstanceQuery(parent_id=ancestors[-1].instance_id, statuses=FINISHED, payloads="none")
        while True:
            page = await self.blocking(partial(self.store.query, query, _CHILDREN, token))
            # An ID may be its own ancestor's child: a child may restart it once it has finished.
            matched = [version for row in page.rows if (version := row.row_version) not in ancestors]
            deleted += await self._purge(matched, recursive=True, ancestors=ancestors)
            token = page.token
            if token is None:
                return deleted

    async def erase(self, force: bool = False) -> Reply:
        """Delete all instances, definitions and messages. Refused while instances live, unless forced."""
        counts = await self.blocking(self.store.counts)
        active = sum(n for (_, status), n in counts.items() if status not in FINISHED)
        if active and not force:
            return Reply("refused", f"{active} of its instances have not finished; terminate them, or pass force=True")
        erased = await self.blocking(lambda: self.store.erase("registry"))
        await self.blocking(self.definition_cache.forget)
        await self.deployments.refresh()
        return Reply("ok", str(erased))

    # --- the gateway ------------------------------------------------------------------------------

    async def set_gateway(self, address: GatewayAddress | None) -> None:
        """Set where the hub's gateway listens (None: no longer). Kept in memory only, so the gateway repeats it."""
        self._gateway = address

    async def gateway(self) -> GatewayAddress | None:
        """Where the hub's gateway listens."""
        return self._gateway
