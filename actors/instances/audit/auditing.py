"""The audit as a whole: tables, then every instance, then who waits for whom; and mending, by the store's owner alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from durable_ray.actors.clock import SystemClock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances.audit.findings import AuditFinding
from durable_ray.actors.instances.audit.histories import (
    OWN_HISTORY,
    audit_children,
    audit_history,
    audit_replay,
    foreign_chunks,
    waits_for,
)
from durable_ray.actors.instances.audit.tables import audit_tables, unsound_file
from durable_ray.actors.store.contract import StoreError, StoreUnusable
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.records import InstanceQuery
from durable_ray.actors.store.sql.statement import Session

#: Instances whose histories are read at once.
_PAGE = 100
#: A hub that lives has a heartbeat every few seconds (µs).
_SILENT = 60_000_000
#: Who owns a store while it is mended.
_MENDER = "durable-ray audit --mend"


def audit(url: str, *, replay: bool = True) -> Iterator[AuditFinding]:
    """What does not hold in the store at `url`; a hub may work on it. Changes nothing.

    Args:
        url: of the store.
        replay: run each orchestrator over its history. That runs the code that is stored there, as a host does.

    Raises:
        StoreUnusable: there is none, or it cannot be read.
    """
    store = open_store(url, create=False)
    assert isinstance(store, SqlStore)
    try:
        yield from _audit(store, replay)
    finally:
        store.close()


def mend(url: str, findings: Sequence[AuditFinding]) -> int:
    """Make the changes of these findings, each in a transaction of its own; how many were made.

    This process owns the store meanwhile, and every host that still has it open is fenced.

    Raises:
        HubInUse: a hub works on it; stop it first.
    """
    store = open_store(url, create=False)
    try:
        assert isinstance(store, SqlStore)
        hub = store.hub()
        if hub is None:
            raise StoreUnusable("no hub ever owned this store, so there is nothing to mend")
        store.acquire_hub(hub.name, _MENDER, _MENDER, hub.heartbeat, hub.partitions, hub.settings)
        made: dict[Any, AuditFinding] = {repr(finding.changes): finding for finding in findings if finding.changes}
        for finding in made.values():
            store.database.write(lambda session, finding=finding: _change(session, finding))  # type: ignore[misc]
        return len(made)
    finally:
        store.close()


def _change(session: Session, finding: AuditFinding) -> None:
    for statement, params in finding.changes:
        session.run(statement, **params)


def _audit(store: SqlStore, replay: bool) -> Iterator[AuditFinding]:
    hub = store.hub()
    running = hub is not None and abs(SystemClock().now() - hub.heartbeat) < _SILENT
    found: list[AuditFinding] = []
    try:
        with store.database.read() as session:
            broken = list(unsound_file(session))
            if not broken:
                found += audit_tables(session, running=running)
    except StoreError as error:
        broken = [AuditFinding("file", "the database", str(error), "restore a backup (docs/operations.md)")]
    yield from broken
    if broken:
        return  # whatever else is found would be its consequence
    code = DefinitionCache(store)
    code.refresh()
    for (kind, name), reason in sorted(code.unreadable.items()):
        yield AuditFinding("code", name, f"{kind}: {reason}", "deploy it again")
    untrusted: set[str] = set()
    for finding in _instances(store, code, replay):
        if finding.kind == "history":
            untrusted.add(finding.subject)
        yield finding
    for finding in found:
        # The times of a row follow its status, if its history says the same.
        keep = finding.kind != "row" or finding.subject not in untrusted
        yield finding if keep else AuditFinding("row", finding.subject, finding.detail, "see its history")


def _instances(store: SqlStore, code: DefinitionCache, replay: bool) -> Iterator[AuditFinding]:
    waiting: dict[str, dict[int, str]] = {}
    token: str | None = None
    while True:
        page = store.query(InstanceQuery(payloads="none"), _PAGE, token)
        for instance_id, loaded in store.load([row.instance_id for row in page.rows]).items():
            found, events, snapshot = audit_history(loaded)
            if any(finding.kind == "history" for finding in found):
                with store.database.read() as session:
                    chunks = [
                        (row[0], row[1], bool(row[2])) for row in session.all(OWN_HISTORY, instance_id=instance_id)
                    ]
                whole = foreign_chunks(loaded.row, chunks)
                found = [whole] if whole is not None else found
            yield from found
            if snapshot is None:
                continue
            if replay and (mismatch := audit_replay(loaded.row, events, snapshot, code)) is not None:
                yield mismatch
            if waits := waits_for(snapshot):
                waiting[instance_id] = waits
        token = page.token
        if token is None:
            break
    for parent_id, waits in waiting.items():
        yield from audit_children(store, parent_id, waits)
