"""Deploying what this process has decorated: once, before the first start that may need it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from durable_ray.actors.packing import pack
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.catalog import AnyDefinition, Catalog
from durable_ray.orchestrations.definitions import Orchestrator
from durable_ray.reach import Reach
from durable_ray.steps import Steps


class Deployer:
    """Remembers what was deployed to one hub, and asks the catalog for what came since."""

    def __init__(self, catalog: Catalog, job_runtime_env: Mapping[str, Any] | None) -> None:
        self._catalog = catalog
        self._job_runtime_env = job_runtime_env or None
        self._seen = 0
        self._not_shared: set[str] = set()
        self._lock = threading.Lock()
        #: What is being deployed now, from and up to which position of the catalog: many may start at once.
        self._under_way: tuple[tuple[int, int], list[DefinitionRow]] | None = None
        #: The hub's definitions revision after the last deployment.
        self.revision = 0

    def may_be_shared(self, name: str) -> bool:
        """Whether a random-ID instance may go straight to a partition (False: only the registry knows its place)."""
        return name not in self._not_shared and self._job_runtime_env is None

    def forget(self) -> None:
        """The hub was emptied: deploy everything again."""
        self._seen = 0
        self.revision = 0

    def deploy(self, reach: Reach, definitions: Sequence[AnyDefinition] | None) -> Steps[None]:
        """Deploy these, or whatever was decorated since the last time."""
        seen = self._seen
        if definitions is None:
            seen, definitions = self._catalog.changes(self._seen)
            if not definitions:
                return
            known, span = self._under_way, (self._seen, seen)
            rows = known[1] if known is not None and known[0] == span else self._rows(definitions)
            self._under_way = (span, rows)
        else:
            rows = self._rows(definitions)
        try:
            self.revision = yield from reach.registry("register", rows)
        finally:
            self._under_way = None
        with self._lock:
            self._seen = max(self._seen, seen)

    def _rows(self, definitions: Sequence[AnyDefinition]) -> list[DefinitionRow]:
        return [self._row(definition) for definition in definitions]

    def _row(self, definition: AnyDefinition) -> DefinitionRow:
        packed = pack(definition, job_runtime_env=self._job_runtime_env)
        if isinstance(definition, Orchestrator) and definition.options.placement == "dedicated":
            self._not_shared.add(definition.name)
        return DefinitionRow(
            kind=packed.kind,
            name=packed.name,
            version=packed.version,
            code_id=packed.code_id,
            how=packed.how,
            body=packed.body,
            options=packed.options_json,
            runtime_env=packed.runtime_env,
        )
