"""Instances that must end whatever their code would do.

Those whose code takes its process along again and again, so that others in it go on; and those of which a turn can never be
stored. In memory only: the next process finds both out by itself. And those whose turn took so long that the watchdog ended
the process: they may go on, but not beside others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances import instance_log
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.records import InstanceRow
from durable_ray.actors.store.retrying import until_answered
from durable_ray.orchestrations.values.failures import FailureDetails


class Quarantine:
    """Of one host: who they are, and what each failed of."""

    def __init__(
        self,
        store: Store,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
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
        """What this instance fails of; None if it may go on."""
        return self._failures.get(instance_id)

    def add(self, instance_id: str, failure: FailureDetails) -> None:
        """This instance fails of this: not one more step of its code is taken."""
        self._failures[instance_id] = failure

    def discard(self, instance_id: str) -> None:
        """This instance has ended."""
        self._failures.pop(instance_id, None)
        self._slow.discard(instance_id)

    def suspects(self, instance_id: str) -> bool:
        """Whether the predecessor of this process died while this instance's code ran."""
        return instance_id in self._suspects

    def slow(self, instance_id: str) -> bool:
        """Whether the predecessor of this process was ended because a turn of this instance took too long."""
        return instance_id in self._slow

    async def blame(self, instance_id: str, slow: bool = False) -> None:
        """The predecessor died while this instance's code ran. Awaited before any is loaded: this may have been its last."""
        self._suspects.add(instance_id)
        if slow:
            self._slow.add(instance_id)
        count = await until_answered(self._blocking, lambda: self._store.note_recovery(instance_id), "noting a crash")
        rows = await until_answered(self._blocking, lambda: self._store.rows([instance_id]), "looking who crashed")
        if instance_id in rows:
            instance_log.recovered(instance_id, count)
        if instance_id in rows and count > self._most_recoveries(rows[instance_id]):
            self._failures[instance_id] = FailureDetails(
                "durable_ray.Poisoned",
                f"its host died {count} times while this instance's code ran; it was set aside so that others go on. "
                "Look into the host's log for the cause (memory, a native crash, an endless loop), then rewind it.",
            )

    def _most_recoveries(self, row: InstanceRow) -> int:
        """What its orchestrator declares, as it is deployed now, else the hub's."""
        known = self._definition_cache.known_orchestrator(row.name, row.version)
        declared = known.options.max_recoveries if known else None
        return self._settings.max_recoveries if declared is None else declared
