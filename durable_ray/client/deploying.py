"""Deploying what this process has decorated: once, before the first start that may need it.

A definition that cannot travel (it holds a lock, a connection) is not deployed, nor is what needs it; its error is
raised to those who start one of these, and to no other caller. Who calls it by name learns the reason from the hub.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from durable_ray.actors.code.code_identity import referred_to
from durable_ray.actors.code.described import absent
from durable_ray.actors.code.packing import pack
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.client.router import Router
from durable_ray.client.steps import Steps
from durable_ray.orchestrations.authoring.catalog import AnyDefinition, DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity, Kind, Orchestrator

log = logging.getLogger("durable_ray.client.deploying")

Key = tuple[Kind, str, str]


class _Packed(Struct):
    """Definitions that travel, as rows; and those that do not, with why."""

    #: What is sent: of those that do not travel, the reason.
    rows: list[DefinitionRow]
    stuck: dict[Key, tuple[AnyDefinition, Exception]]
    #: All that were tried.
    keys: frozenset[Key]


class Deployer:
    """Remembers what was deployed to one hub, and asks the catalog for what came since."""

    def __init__(self, catalog: DefinitionCatalog, job_runtime_env: Mapping[str, Any] | None) -> None:
        self._catalog = catalog
        self._job_runtime_env = job_runtime_env or None
        self._seen = 0
        self._not_shared: set[str] = set()
        self._lock = threading.Lock()
        #: What is being deployed now, from and up to which position of the catalog: many may start at once.
        self._under_way: tuple[tuple[int, int], _Packed] | None = None
        #: Definitions of the catalog that could not be deployed, with why.
        self._stuck: dict[Key, tuple[AnyDefinition, Exception]] = {}
        #: The hub's definitions revision after the last deployment.
        self.revision = 0

    def may_be_shared(self, name: str) -> bool:
        """Whether a random-ID instance may go straight to a partition (False: only the registry knows its place)."""
        return name not in self._not_shared and self._job_runtime_env is None

    def forget(self) -> None:
        """The hub was emptied: deploy everything again."""
        self._seen = 0
        self.revision = 0

    def register(self, reach: Router, definitions: Sequence[AnyDefinition]) -> Steps[None]:
        """Deploy these; without any, all that was decorated and is not deployed.

        Raises:
            DefinitionCannotTravel: one cannot; of all that was decorated the others are deployed.
        """
        if definitions:
            yield from self._send(reach, [self._row(definition) for definition in definitions])
            return
        yield from self._deploy(reach, tuple(definition for definition, _ in self._stuck.values()))
        for _, error in self._stuck.values():
            raise error

    def deploy(self, reach: Router, orchestrator: str | None = None, version: str | None = None) -> Steps[None]:
        """Deploy whatever was decorated since the last time, as far as it travels.

        Args:
            orchestrator, version: what is about to be started.

        Raises:
            DefinitionCannotTravel: that, or something that its code calls, cannot.
        """
        again: tuple[AnyDefinition, ...] = ()
        if self._stuck and orchestrator is not None:
            again = tuple(self._stuck[key][0] for key in self._blocking(orchestrator, version))
        yield from self._deploy(reach, again)
        if self._stuck and orchestrator is not None:
            for key in self._blocking(orchestrator, version):
                raise self._stuck[key][1]

    def _deploy(self, reach: Router, again: Sequence[AnyDefinition]) -> Steps[None]:
        """Deploy what is new in the catalog, and try these once more."""
        seen, new = self._catalog.changes(self._seen)
        if not new and not again:
            return
        known, span = self._under_way, (self._seen, seen)
        packed = known[1] if known is not None and known[0] == span and not again else self._pack((*again, *new))
        self._under_way = (span, packed)
        try:
            if packed.rows:
                yield from self._send(reach, packed.rows)
        finally:
            self._under_way = None
        with self._lock:
            self._seen = max(self._seen, seen)
            kept = {key: value for key, value in self._stuck.items() if key not in packed.keys}
            self._stuck = {**kept, **packed.stuck}

    def _send(self, reach: Router, rows: Sequence[DefinitionRow]) -> Steps[None]:
        self.revision = yield from reach.registry(Registry.register, rows)

    def _pack(self, definitions: Sequence[AnyDefinition]) -> _Packed:
        packed = _Packed([], {}, frozenset(map(_key, definitions)))
        for definition in {_key(definition): definition for definition in definitions}.values():
            try:
                packed.rows.append(self._row(definition))
            except Exception as error:
                packed.stuck[_key(definition)] = (definition, error)
                if _key(definition) not in self._stuck:
                    log.warning("%s %r is not deployed: %s", definition.kind, definition.name, error)
        packed.rows += [absent(kind, name, str(error)) for (kind, name, _), (_, error) in packed.stuck.items()]
        return packed

    def _blocking(self, orchestrator: str, version: str | None) -> list[Key]:
        """What cannot be deployed of all that this orchestrator's code in this process refers to, itself included."""
        root = self._catalog.get("orchestrator", orchestrator, version)
        found: dict[Key, AnyDefinition] = {}
        todo = [] if root is None else [root]
        while todo:
            definition = todo.pop()
            if _key(definition) not in found:
                found[_key(definition)] = definition
                todo += [one for one in referred_to(definition) if isinstance(one, (Activity, Orchestrator))]
        return [key for key in self._stuck if key in found]

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


def _key(definition: AnyDefinition) -> Key:
    return definition.kind, definition.name, definition.version
