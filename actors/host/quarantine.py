"""Quarantine: poison instances, which are failed without running their code, and slow ones, which are isolated.

Poison: the code has ended its process more than `max_recoveries` times, or a turn can never be stored. Slow: the watchdog ended
the process because of its turn. In memory only; the next process of the host finds out by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from durable_ray.actors.activities.ports import Peers
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.placement import dedicated_host, is_dedicated
from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.store.background import Blocking, until_answered
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.records import InstanceRow
from durable_ray.orchestrations.values.failures import FailureDetails

log = logging.getLogger("durable_ray.host")


class Isolating:
    """Isolates instances of one host. Those of a dedicated host are isolated already."""

    def __init__(
        self,
        host: str,
        store: Store,
        quarantine: Quarantine,
        waiters: Waiters,
        peers: Peers,
        blocking: Blocking,
    ) -> None:
        self._host = host
        self._store = store
        self._quarantine = quarantine
        self._waiters = waiters
        self._peers = peers
        self._blocking = blocking

    def applies_to(self, instance_id: str) -> bool:
        """Whether this instance must not take a turn on this host."""
        return self._quarantine.slow(instance_id) and not is_dedicated(self._host)

    async def isolate(self, instance_id: str) -> None:
        """Move it to a dedicated host, if it exists: its start may have been lost with the process, and be retried."""
        own_host = dedicated_host(instance_id)
        moved = await until_answered(
            self._blocking,
            lambda: self._store.isolate(instance_id, self._host, own_host),
            f"moving {instance_id!r} to a dedicated host",
        )
        if moved:
            log.warning("instance %r continues in a dedicated host: one of its turns exceeded the limit", instance_id)
            self._quarantine.discard(instance_id)
            self._waiters.moved([instance_id])
            self._peers.notify(own_host, [instance_id], False)


class Quarantine:
    """The quarantined instances of one host, each with its failure."""

    def __init__(
        self,
        store: Store,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        blocking: Blocking,
    ) -> None:
        self._store = store
        self._definition_cache = definition_cache
        self._settings = settings
        self._blocking = blocking
        self._failures: dict[str, FailureDetails] = {}
        self._suspects: set[str] = set()
        self._slow: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._failures)

    def get(self, instance_id: str) -> FailureDetails | None:
        """The failure with which this instance is to end; None if it may go on."""
        return self._failures.get(instance_id)

    def add(self, instance_id: str, failure: FailureDetails) -> None:
        """Fail this instance with this failure, without running its code again."""
        self._failures[instance_id] = failure

    def discard(self, instance_id: str) -> None:
        """This instance has ended or moved."""
        self._failures.pop(instance_id, None)
        self._slow.discard(instance_id)

    def suspects(self, instance_id: str) -> bool:
        """Whether the previous process of this host died while this instance's code ran."""
        return instance_id in self._suspects

    def slow(self, instance_id: str) -> bool:
        """Whether the watchdog ended the previous process because of a turn of this instance."""
        return instance_id in self._slow

    async def note_crash(self, instance_id: str, slow: bool = False) -> None:
        """The previous process died while this instance's code ran: count it. Awaited before any instance is loaded."""
        self._suspects.add(instance_id)
        if slow:
            self._slow.add(instance_id)
        count = await until_answered(
            self._blocking, lambda: self._store.note_recovery(instance_id), "recording a crash"
        )
        rows = await until_answered(
            self._blocking, lambda: self._store.rows([instance_id]), "reading the instance that crashed"
        )
        if instance_id in rows:
            instance_log.recovered(instance_id, count)
        if instance_id in rows and count > self._most_recoveries(rows[instance_id]):
            self._failures[instance_id] = FailureDetails(
                "durable_ray.Poisoned",
                f"its host died {count} times while this instance's code ran; it was quarantined so that others go on. "
                "See the host's log for the cause (memory, a native crash, an endless loop), then rewind it.",
            )

    def _most_recoveries(self, row: InstanceRow) -> int:
        """The limit that its orchestrator declares as it is deployed now, else the hub's."""
        known = self._definition_cache.known_orchestrator(row.name, row.version)
        declared = known.options.max_recoveries if known else None
        return self._settings.max_recoveries if declared is None else declared
