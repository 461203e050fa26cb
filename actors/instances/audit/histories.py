"""One instance's history against its row, its code and its children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from durable_ray.actors.code.definition_cache import DefinitionCache, DefinitionMissing
from durable_ray.actors.code.packing import PYTHON_PAYLOADS, DefinitionCannotLoad
from durable_ray.actors.errors import DamagedHistory
from durable_ray.actors.instances.audit.findings import BACKUP_OR_END, AuditFinding, Change
from durable_ray.actors.instances.histories import message_of, restore
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import InstanceRow, Loaded
from durable_ray.actors.store.sql.changes import LONG_INPUT, PUT
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.orchestrations.engine.replaying import replay_outcome
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.history.snapshot import Snapshot
from durable_ray.orchestrations.history.transition import tell_parent

NEXT_DUE = Statement("UPDATE instances SET next_due = :at WHERE instance_id = :instance_id")
OUTSTANDING = Statement("UPDATE instances SET outstanding = :n WHERE instance_id = :instance_id")
OUTPUT = Statement("UPDATE instances SET output = :output WHERE instance_id = :instance_id")
#: Chunks of another execution than the row's, which every load would take for its own.
OWN_HISTORY = Statement("""
    SELECT history.first_event, history.body, history.execution_id = instances.execution_id
    FROM history JOIN instances ON instances.instance_id = history.instance_id
    WHERE history.instance_id = :instance_id
    ORDER BY history.first_event
    """)
FORGET_FOREIGN = Statement("""
    DELETE FROM history
    WHERE instance_id = :instance_id
        AND execution_id != (SELECT execution_id FROM instances WHERE instances.instance_id = :instance_id)
    """)


def audit_history(loaded: Loaded) -> tuple[list[AuditFinding], list[Event], Snapshot | None]:
    """What is wrong with an instance as stored; and its events and snapshot, if they can be trusted."""
    row = loaded.row
    remedy = BACKUP_OR_END.format(row.instance_id)
    found: list[AuditFinding] = []
    for message in loaded.inbox:
        try:
            message_of(message)
        except DamagedHistory as error:
            found.append(AuditFinding("message", row.instance_id, error.what, remedy))
    try:
        events, snapshot = restore(loaded)
    except DamagedHistory as error:
        return [*found, AuditFinding("history", row.instance_id, error.what, remedy)], [], None
    return [*found, *_against_row(row, events, snapshot)], events, snapshot if events else None


def _against_row(row: InstanceRow, events: list[Event], snapshot: Snapshot) -> Iterator[AuditFinding]:
    if not events:
        return
    due = snapshot.next_due()
    if not row.finished and due is not None and (row.next_due is None or row.next_due > due):
        yield _mended(row, "row", "nothing wakes it when its timer is due", "set its due time", (NEXT_DUE, {"at": due}))
    if not row.finished and row.outstanding < len(snapshot.activities):
        detail = f"{len(snapshot.activities)} activities are under way, its row says {row.outstanding}"
        yield _mended(row, "row", detail, "count them anew", (OUTSTANDING, {"n": len(snapshot.activities)}))
    if row.finished and row.output is None and snapshot.output is not None:
        yield _mended(
            row, "payload", "its output is lost", "take it from history", (OUTPUT, {"output": snapshot.output})
        )
    if row.input is None and snapshot.input is not None:
        change = (LONG_INPUT, {"body": snapshot.input})
        yield _mended(row, "payload", "its input is lost", "take it from history", change)


def _mended(row: InstanceRow, kind: str, detail: str, mend: str, change: Change) -> AuditFinding:
    statement, params = change
    changes = ((statement, {**params, "instance_id": row.instance_id}),)
    return AuditFinding(kind, row.instance_id, detail, mend=mend, changes=changes)


def foreign_chunks(row: InstanceRow, chunks: list[tuple[int, str, bool]]) -> AuditFinding | None:
    """If its history is whole without what is of other executions: that."""
    own = [(first, body) for first, body, is_own in chunks if is_own]
    if len(own) == len(chunks):
        return None
    alone = Loaded(row, tuple(body for _, body in own), (), tuple(first for first, _ in own))
    try:
        restore(alone)
    except DamagedHistory:
        return None
    detail = "it has history of another execution beside its own, which is whole"
    change = (FORGET_FOREIGN, {"instance_id": row.instance_id})
    return AuditFinding("history", row.instance_id, detail, mend="delete the other", changes=(change,))


def audit_replay(
    row: InstanceRow, events: list[Event], snapshot: Snapshot, code: DefinitionCache
) -> AuditFinding | None:
    """Whether its history replays on its code."""
    deploy = "durable-ray deploy its module again (or install what is missing); it goes on by itself"
    try:
        orchestrator = code.open("orchestrator", row.name, snapshot.code_id or row.code_id)
    except DefinitionMissing as error:
        return AuditFinding("code", row.instance_id, str(error), deploy, level="warning" if row.finished else "problem")
    except DefinitionCannotLoad as error:
        return AuditFinding("code", row.instance_id, f"not replayed: {error}", deploy, level="warning")
    outcome = replay_outcome(row.instance_id, orchestrator, PYTHON_PAYLOADS, events)
    if outcome.same:
        return None
    remedy = f"deploy code that agrees with its history, then: durable-ray rewind {row.instance_id} --latest"
    return AuditFinding("replay", row.instance_id, outcome.mismatch or outcome.beyond, remedy)


def waits_for(snapshot: Snapshot) -> dict[int, str]:
    """task_id -> ID of each sub-orchestration that it waits for."""
    if snapshot.finished:
        return {}
    return {
        number: task.scheduled.instance_id
        for number, task in snapshot.children.items()
        if isinstance(task.scheduled, ev.ChildScheduled) and number not in snapshot.retries
    }


def audit_children(store: Store, parent_id: str, waits: Mapping[int, str]) -> Iterator[AuditFinding]:
    """Whether each sub-orchestration that a live instance waits for will answer, or has."""
    all_of_them = store.load([parent_id, *waits.values()])
    parent = all_of_them.get(parent_id)
    if parent is None or parent.row.finished:
        return
    answered = {getattr(message_of(row).event, "task_id", None) for row in parent.inbox}
    _, _, now = audit_history(parent)
    if now is None or now.execution_id != parent.row.execution_id:
        return
    still = waits_for(now)
    for number, child_id in waits.items():
        if number in answered or still.get(number) != child_id:
            continue
        child = all_of_them.get(child_id)
        address = ev.ParentAddress(parent_id, parent.row.execution_id, number)
        if child is None or child.row.parent != address:
            what = "absent" if child is None else "not its"
            detail = f"it waits for its sub-orchestration {child_id!r} (#{number}), which is {what}"
            yield AuditFinding("child", parent_id, detail, BACKUP_OR_END.format(parent_id))
        elif child.row.finished:
            yield _untold(parent, child, address)


def _untold(parent: Loaded, child: Loaded, address: ev.ParentAddress) -> AuditFinding:
    _, events, _ = audit_history(child)
    detail = f"it waits for {child.row.instance_id!r}, which has ended, and no message says so"
    parent_id = parent.row.instance_id
    if not events or not isinstance(events[-1], ev.ExecutionCompleted | ev.ExecutionFailed | ev.ExecutionTerminated):
        return AuditFinding("child", parent_id, detail, BACKUP_OR_END.format(parent_id))
    message = tell_parent(child.row.instance_id, child.row.execution_id, address, events[-1])
    put = {
        "placement": parent.row.placement,
        "host": parent.row.host,
        "instance_id": parent_id,
        "message_id": message.message_id,
        "execution_id": message.execution_id,
        "body": encode_event(message.event),
    }
    return AuditFinding("child", parent_id, detail, mend="tell it by its history", changes=((PUT, put),))
