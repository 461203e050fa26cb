"""The definition cache of a process: metadata of all definitions in memory, code loaded when first needed.

Names are resolved without waiting, because a turn cannot wait; `deployments` keeps the table as new as what is written
by it has to be. Only hosts and workers open a definition's body; the registry and the gateway move it as bytes.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from durable_ray.actors.code.described import DefinitionUnreadable, KnownActivity, KnownOrchestrator, described
from durable_ray.actors.code.packing import unpack
from durable_ray.actors.code.recent import Recent
from durable_ray.actors.store.contract import DefinitionStore
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.retries import RetryPolicy

log = logging.getLogger("durable_ray.definitions")
T = TypeVar("T")
#: Runs a blocking call on a thread that may block.
Blocking = Callable[[Callable[[], T]], Awaitable[T]]


#: Versions of code that are kept in memory: older ones are read again if an instance goes on with them.
_MOST_CODE = 500


class DefinitionMissing(LookupError):
    """The store has no such code (any more)."""


class DefinitionCache:
    """The definitions of a hub, as one process sees them."""

    def __init__(self, store: DefinitionStore) -> None:
        self._store = store
        #: The hub's definitions revision that is known here: all up to it, perhaps some later ones.
        self.revision = 0
        self._refreshing = threading.Lock()
        #: (kind, name) -> why the newest definition of that name cannot be used, or is not there, and what to do.
        self.unreadable: dict[tuple[str, str], str] = {}
        self._activities: dict[str, KnownActivity] = {}
        self._orchestrators: dict[tuple[str, str | None], KnownOrchestrator] = {}
        self._loaded: Recent[tuple[str, str, str], Activity | Orchestrator] = Recent(_MOST_CODE)
        self._packed: Recent[tuple[str, str, str], DefinitionRow] = Recent(_MOST_CODE)
        self._environments: dict[str, str] = {}

    # --- metadata, answered at once ---------------------------------------------------------------

    def activity(self, name: str) -> tuple[str, RetryPolicy | None]:
        """(code_id, default retry policy) of the newest activity of that name; ("", None) if there is none."""
        known = self._activities.get(name)
        return (known.row.code_id, known.options.retry_policy) if known else ("", None)

    def known_activity(self, name: str) -> KnownActivity | None:
        """The newest activity of that name."""
        return self._activities.get(name)

    def activity_names(self) -> frozenset[str]:
        """Names of all activities."""
        return frozenset(self._activities)

    def orchestrator(self, name: str, version: str | None) -> tuple[str, str] | None:
        """(version, code_id) of the newest orchestrator of that name (and version), or None."""
        known = self._orchestrators.get((name, version))
        return (known.row.version, known.row.code_id) if known else None

    def pins(self, name: str, version: str) -> bool:
        """Whether instances of this orchestrator keep to the code with which they first called an activity."""
        known = self.known_orchestrator(name, version)
        return known is not None and known.options.pin_activities

    def known_orchestrator(self, name: str, version: str | None = None) -> KnownOrchestrator | None:
        """The newest orchestrator of that name (and version)."""
        return self._orchestrators.get((name, version))

    def environment(self, row: DefinitionRow) -> str:
        """Short name of the runtime environment a definition's host needs; "" for the hub's own."""
        if row.runtime_env is None:
            return ""
        name = hashlib.sha256(row.runtime_env.encode()).hexdigest()[:8]
        self._environments[name] = row.runtime_env
        return name

    def runtime_env(self, environment: str) -> str | None:
        """The runtime environment (JSON) behind a short name."""
        if environment and environment not in self._environments:
            for known in [*self._orchestrators.values()]:
                self.environment(known.row)
        return self._environments.get(environment)

    def names(self) -> tuple[str, ...]:
        """Names of all orchestrators, sorted."""
        return tuple(sorted({name for name, _ in self._orchestrators}))

    def forget(self) -> None:
        """Clear the cache, after the hub was erased. Blocks."""
        with self._refreshing:
            self.revision = 0
            for known in (self._activities, self._orchestrators, self._loaded, self._packed, self.unreadable):
                known.clear()

    def refresh(self) -> None:
        """Read what was registered since the last refresh. Blocks."""
        with self._refreshing:  # two at once could let an older row of a name come after its newer one
            # Not the newest row's: an erasure takes a revision, too, and leaves no row.
            revision = self._store.definitions_revision()
            for row in self._store.definitions(self.revision):
                self._learn(row)
                revision = max(revision, row.revision)
            # Last: a decision made meanwhile may use some of the new ones, but counts as one of the old revision.
            self.revision = revision

    def _learn(self, row: DefinitionRow) -> None:
        try:
            known = described(row)
        except DefinitionUnreadable as error:
            # It is the newest of its name all the same: an older one must not run in its place as if nothing were.
            if not row.absent:
                log.error("%s", error)
            self.unreadable[row.kind, row.name] = str(error)
            self._activities.pop(row.name, None) if row.kind == "activity" else self._forget_orchestrator(row)
            return
        self.unreadable.pop((row.kind, row.name), None)
        if isinstance(known, KnownActivity):
            self._activities[row.name] = known
        else:
            self._orchestrators[row.name, None] = known
            self._orchestrators[row.name, row.version] = known

    def _forget_orchestrator(self, row: DefinitionRow) -> None:
        for version in (None, row.version):
            self._orchestrators.pop((row.name, version), None)

    # --- code, loaded when needed -----------------------------------------------------------------

    def loaded_orchestrator(self, name: str, code_id: str) -> Orchestrator | None:
        """The orchestrator, if its code is in memory already."""
        found = self._loaded.get(("orchestrator", name, code_id))
        return found if isinstance(found, Orchestrator) else None

    def peek(self, kind: str, name: str, code_id: str) -> DefinitionRow | None:
        """The definition with its body, if it is in memory."""
        return self._packed.get((kind, name, code_id))

    def packed(self, kind: str, name: str, code_id: str) -> DefinitionRow:
        """The definition with its body. Blocks the first time. Raises DefinitionMissing."""
        key = (kind, name, code_id)
        row = self._packed.get(key)
        if row is None:
            row = self._store.definition(kind, name, code_id=code_id)
            if row is None:
                raise DefinitionMissing(f"the code {code_id} of {kind} {name!r} is not in the store")
            self._packed[key] = row
        return row

    def open(self, kind: str, name: str, code_id: str) -> Activity | Orchestrator:
        """Load the code. Blocks the first time. Raises DefinitionMissing or DefinitionCannotLoad."""
        key = (kind, name, code_id)
        found = self._loaded.get(key)
        if found is None:
            found = self._loaded[key] = unpack(self.packed(kind, name, code_id))
        return found
