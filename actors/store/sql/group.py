"""Group commit: each write is decided in memory, in order, then all are written in bulk.

All instances that a group concerns are read (and locked) by one statement. From then on nobody else can change
them, so each write is judged against what is known, including what the writes before it in the same group did.
Members that find the world changed get their answer and leave no trace, without a savepoint; the changes of all the
others are collected by statement and run as a few bulk operations. A turn costs its own two rows and no question to
the database.

Bulk operations keep the order that matters: that of one instance's changes. They go into waves; a change that has
to come after one of the same instance, but whose statement runs earlier, begins that instance's next wave.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import asdict

from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.records import InboxMessage, NewInstance, Receipt, ScheduleRow
from durable_ray.actors.store.sql.changes import CHANGES, Op
from durable_ray.actors.store.sql.known import ENDED, Known, concerned, consistent
from durable_ray.actors.store.sql.rows import RECEIPTS, read_rows
from durable_ray.actors.store.sql.schedules import UPSERT
from durable_ray.actors.store.sql.statement import Session, Statement
from durable_ray.actors.store.writes import (
    Absent,
    Answer,
    CommitTurn,
    Delivered,
    Done,
    Exists,
    Finished,
    FinishUnstarted,
    Outdated,
    Passivate,
    Repeated,
    ScheduleStored,
    Stale,
    Started,
    StartInstance,
    StoreSchedule,
    TurnCommitted,
    Write,
)

#: What a decision needs of an instance.
KNOWN = Statement(f"""
    SELECT {", ".join(Known.__struct_fields__)}
    FROM instances
    WHERE instance_id IN (:ids)
    ORDER BY instance_id
    FOR NO KEY UPDATE
    """)
HAS_MESSAGES = Statement("SELECT EXISTS (SELECT * FROM inbox WHERE instance_id = :instance_id)")
RECORD = Statement("""
    INSERT INTO receipts (request_id, outcome, expires)
    VALUES (:request_id, :outcome, :expires)
    ON CONFLICT (request_id) DO NOTHING
    """)
COUNT = Statement("""
    INSERT INTO counters (host, name, status, n)
    VALUES (:host, :name, :status, :n)
    ON CONFLICT (host, name, status) DO UPDATE
    SET n = (counters.n + excluded.n)
    """)

#: Inputs longer than this (characters) are kept beside the row.
LONG_INPUT = 1000

_WAVE = len(Op)


class Raced(StoreError):
    """Another transaction created an instance between our read and our write; read again."""


class RequestKnown(StoreError):
    """A turn was about to take a request that was carried out before; look for such before deciding."""


class _Chunk(NamedTuple):
    """The first history of an execution that no turn's own events begin."""

    instance_id: str
    execution_id: str
    first_event: int
    body: str


class Group:
    """One transaction's writes. `decide` answers each; `finish` leaves nothing unwritten.

    A turn whose requests were carried out before is as rare as a host that died between commit and answer, so they are
    looked for only when the group is `wary`; otherwise such a turn is found when its receipts meet those that are there.

    `revision` is that of the definitions as the transaction sees them: what was decided by older ones is `Outdated`.
    """

    def __init__(self, session: Session, writes: Sequence[Write], revision: int, wary: bool = False) -> None:
        self._session = session
        self._revision = revision
        ids = {instance_id for write in writes for instance_id in concerned(write)}
        found = session.all(KNOWN, ids=session.list(sorted(ids)))
        self._known = {row[0]: Known(*row) for row in found}
        self._receipts: dict[str, str] = {}
        requests = [r.request_id for w in writes if (r := getattr(w, "receipt", None)) is not None]
        if wary:
            requests += [r.request_id for w in writes if isinstance(w, CommitTurn) for r in w.receipts]
        if requests:
            self._receipts.update((row[0], row[1]) for row in session.all(RECEIPTS, ids=session.list(requests)))
        self._changes: dict[int, list[Any]] = {}
        self._at: dict[str, int] = {}
        self._counts: dict[tuple[str, str, str], int] = {}
        self._records: dict[str, Receipt] = {}
        self._schedules: dict[str, ScheduleRow] = {}

    def decide(self, write: Write) -> Answer:
        """Judge one write and collect its changes."""
        if isinstance(write, CommitTurn):
            return self._turn(write)
        if isinstance(write, Passivate):
            return self._passivate(write)
        receipt = write.receipt
        if receipt is not None and (outcome := self._receipts.get(receipt.request_id)) is not None:
            return Repeated(outcome)
        answer: Answer
        if isinstance(write, StartInstance):
            answer = self._start(write)
        elif isinstance(write, StoreSchedule):
            answer = self._schedule(write)
        elif isinstance(write, InboxMessage):
            answer = self._put(write)
        else:
            answer = self._finish_unstarted(write)
        if receipt is not None and isinstance(answer, Started | Delivered | Done | ScheduleStored):
            self._record(receipt)
        return answer

    def finish(self) -> None:
        """Write what is collected. Receipts and counters come last, sorted: all take their locks in one order."""
        self._write_changes()
        if self._schedules:
            self._session.each(UPSERT, [self._schedules[key] for key in sorted(self._schedules)])
        if self._records:
            recorded = self._session.each(RECORD, [self._records[key] for key in sorted(self._records)])
            if recorded != len(self._records):
                raise RequestKnown("a request was carried out before; nothing was written")
        moved = [(key, n) for key, n in sorted(self._counts.items()) if n]
        if moved:
            self._session.each(COUNT, [{"host": h, "name": m, "status": s, "n": n} for (h, m, s), n in moved])

    # --- collecting -------------------------------------------------------------------------------
    def _change(self, instance_id: str, op: Op, source: Any) -> None:
        last = self._at.get(instance_id, 0)
        slot = last - last % _WAVE + op
        if slot < last:
            slot += _WAVE
        self._at[instance_id] = slot
        if (sources := self._changes.get(slot)) is None:
            self._changes[slot] = [source]
        else:
            sources.append(source)

    def _write_changes(self) -> None:
        for slot in sorted(self._changes):
            (op, statement, exact), sources = CHANGES[slot % _WAVE], self._changes[slot]
            if op is Op.CREATE:
                sources.sort(key=lambda source: str(source["instance_id"]))
            changed = self._session.each(statement, sources)
            if exact and changed != len(sources):
                if op is Op.CREATE:
                    raise Raced("an instance was created meanwhile")
                raise StoreError(f"{op.name} changed {changed} rows instead of {len(sources)}; nothing was written")
        self._changes.clear()
        self._at.clear()

    def _record(self, receipt: Receipt) -> None:
        self._receipts[receipt.request_id] = receipt.outcome
        self._records.setdefault(receipt.request_id, receipt)

    def _count(self, known: Known, by: int) -> None:
        key = (known.shard, known.name, known.status)
        self._counts[key] = self._counts.get(key, 0) + by

    def _restatus(self, known: Known, status: Any) -> None:
        if known.status != status:
            self._count(known, -1)
            known.status = status
            self._count(known, +1)

    # --- starts -----------------------------------------------------------------------------------
    def _start(self, write: StartInstance) -> Answer:
        if self._outdated(write):
            return Outdated()
        new = write.new
        old = self._known.get(new.instance_id)
        if old is None:
            self._create(new)
            return Started()
        active = old.status not in ENDED
        if write.if_exists != "terminate_existing" if active else write.if_exists == "reject_finished":
            return Exists(self._row(new.instance_id))
        orphan = active and old.parent_id is not None
        if orphan and write.replaces != old.execution_id:
            return Stale()
        replaced = self._row(new.instance_id)
        self._replace(old, new)
        if orphan and write.on_replaced is not None:
            self._put(write.on_replaced)
        return Started(replaced)

    def _schedule(self, write: StoreSchedule) -> Answer:
        if any(self._outdated(start) for start in write.starts):
            return Outdated()
        answers = [self._start(start) for start in write.starts]
        self._schedules[write.row.schedule_id] = write.row
        return ScheduleStored(tuple([answer for answer in answers if isinstance(answer, Started | Exists)]))

    def _outdated(self, write: StartInstance | CommitTurn) -> bool:
        return write.revision is not None and write.revision < self._revision

    def _row(self, instance_id: str) -> Any:
        """The whole row as the writes before this one leave it."""
        if instance_id in self._at:
            self._write_changes()
        return read_rows(self._session, [instance_id])[instance_id]

    def _create(self, new: NewInstance) -> None:
        self._insert(new, Op.CREATE)

    def _replace(self, old: Known, new: NewInstance) -> None:
        self._count(old, -1)
        for op in (Op.EMPTY_INBOX, Op.DROP_HISTORY, Op.DROP_TAGS, Op.DROP_INPUT):
            self._change(new.instance_id, op, new)
        self._insert(new, Op.REPLACE)

    def _insert(self, new: NewInstance, op: Op) -> None:
        parent, resident = new.parent, new.placement == "shared"
        known = Known(
            new.instance_id,
            new.execution_id,
            new.name,
            new.placement,
            new.host,
            resident,
            "Pending",
            0,
            parent.instance_id if parent else None,
            new.created_at,
        )
        self._known[new.instance_id] = known
        self._count(known, +1)
        long_input = new.input is not None and len(new.input) > LONG_INPUT
        source = asdict(new)  # and in place: this runs for every start
        source["resident"] = resident
        source["first_due"] = new.first_due
        source["parent_id"] = parent.instance_id if parent else None
        source["parent_execution"] = parent.execution_id if parent else None
        source["parent_task"] = parent.task_id if parent else None
        source["tags"] = json.dumps(dict(new.tags)) if new.tags else "{}"
        source["input"] = None if long_input else new.input
        self._change(new.instance_id, op, source)
        for key, value in new.tags.items():
            tag = {"key": key, "value": value, "created_at": new.created_at, "instance_id": new.instance_id}
            self._change(new.instance_id, Op.TAG, tag)
        if long_input:
            self._change(new.instance_id, Op.LONG_INPUT, {"instance_id": new.instance_id, "body": new.input})

    # --- turns ------------------------------------------------------------------------------------
    def _turn(self, write: CommitTurn) -> Answer:
        instance_id = write.instance_id
        known = self._known.get(instance_id)
        if (
            known is None
            or known.turn != write.turn
            or known.execution_id != write.execution_id
            or known.host != write.host
            or known.status != write.old_status
        ):
            return Stale()
        for receipt in write.receipts:
            if (outcome := self._receipts.get(receipt.request_id)) is not None:
                return Repeated(outcome)
        if self._outdated(write):
            return Outdated()
        known.turn += 1
        for row in write.consumed:
            self._change(instance_id, Op.CONSUME, {"row": row, "instance_id": instance_id})
        finished = write.status in ENDED
        if not known.resident:
            known.resident = True
            self._change(instance_id, Op.MARK_RESIDENT, write)
        if write.successor is not None:
            self._succeed(known, consistent(write, finished))
        else:
            if write.status == known.status and not finished:
                self._change(instance_id, Op.TURN, write)
            else:
                self._change(instance_id, Op.TURN_WITH_STATUS, consistent(write, finished))
            if write.events:
                self._change(instance_id, Op.APPEND_HISTORY, write)
            if write.recode is not None:
                version, code_id = write.recode
                self._change(
                    instance_id, Op.RECODE, {"instance_id": instance_id, "version": version, "code_id": code_id}
                )
        self._restatus(known, write.status)
        if finished:
            self._change(instance_id, Op.EMPTY_INBOX, write)
        for receipt in write.receipts:
            self._record(receipt)
        if write.children or write.messages:
            return self._send(write)
        return TurnCommitted()

    def _succeed(self, known: Known, write: CommitTurn) -> None:
        """Continue-as-new: the old history goes, with what this turn would have added to it."""
        instance_id, following = write.instance_id, write.successor
        assert following is not None
        known.execution_id = following.execution_id
        long_input = following.input is not None and len(following.input) > LONG_INPUT
        self._change(instance_id, Op.DROP_HISTORY, write)
        self._change(instance_id, Op.DROP_INPUT, write)
        if long_input:
            self._change(instance_id, Op.LONG_INPUT, {"instance_id": instance_id, "body": following.input})
        changed = asdict(write)
        changed |= {
            "first_event": 0,
            "events": following.events,
            "next_execution": following.execution_id,
            "generation": following.generation,
            "input": None if long_input else following.input,
            "version": following.version,
            "code_id": following.code_id,
        }
        self._change(instance_id, Op.CONTINUE_AS_NEW, changed)
        if following.events:
            self._change(instance_id, Op.APPEND_HISTORY, _Chunk(instance_id, following.execution_id, 0, following.body))

    def _send(self, write: CommitTurn) -> TurnCommitted:
        """Start a turn's children and deliver its messages; a child whose ID is taken by a live instance becomes a message
        to its parent."""
        receivers: dict[str, tuple[str, bool]] = {}
        conflicts = []
        for at, child in enumerate(write.children):
            taken = self._known.get(child.instance_id)
            if taken is None:
                self._create(child)
            elif taken.status in ENDED:
                self._replace(taken, child)
            else:
                conflicts.append(child.instance_id)
                if at < len(write.child_conflicts):
                    self._deliver(write.child_conflicts[at], receivers)
                continue
            receivers[child.instance_id] = (child.host, child.placement == "shared")
        for message in write.messages:
            self._deliver(message, receivers)
        return TurnCommitted(tuple(conflicts), receivers)

    def _deliver(self, message: InboxMessage, receivers: dict[str, tuple[str, bool]]) -> None:
        answer = self._put(message)
        if isinstance(answer, Delivered):
            receivers[message.instance_id] = (answer.host, answer.resident)

    # --- messages, endings, passivation -----------------------------------------------------------
    def _put(self, message: InboxMessage) -> Answer:
        known = self._known.get(message.instance_id)
        if known is None or (message.created_at is not None and known.created_at != message.created_at):
            return Absent()
        if known.status in ENDED:
            return Finished(known.status)
        unstarted = message.unstarted
        if unstarted is not None and known.turn == 0 and known.status != unstarted:
            self._change(known.instance_id, Op.SET_STATUS, {"instance_id": known.instance_id, "status": unstarted})
            self._restatus(known, unstarted)
        source = {
            "placement": known.placement,
            "host": known.host,
            "instance_id": message.instance_id,
            "message_id": message.message_id,
            "execution_id": message.execution_id,
            "body": message.body,
        }
        self._change(message.instance_id, Op.PUT, source)
        return Delivered(known.host, known.placement, known.resident, known.status, known.turn)

    def _finish_unstarted(self, write: FinishUnstarted) -> Answer:
        known = self._known.get(write.instance_id)
        if known is None:
            return Absent()
        if known.status in ENDED:
            return Finished(known.status)
        if known.turn != 0 or known.execution_id != write.execution_id or write.status not in ENDED:
            return Stale()
        known.turn = 1
        self._change(write.instance_id, Op.FINISH_UNSTARTED, write)
        if write.events:
            first = _Chunk(write.instance_id, known.execution_id, 0, write.body)
            self._change(write.instance_id, Op.APPEND_HISTORY, first)
        self._change(write.instance_id, Op.EMPTY_INBOX, write)
        self._restatus(known, write.status)
        if write.message is not None:
            self._put(write.message)
        return Done()

    def _passivate(self, write: Passivate) -> Answer:
        known = self._known.get(write.instance_id)
        if (
            known is None
            or known.turn != write.turn
            or known.execution_id != write.execution_id
            or known.host != write.host
            or self._has_messages(write.instance_id)
        ):
            return Stale()
        known.resident = False
        self._change(write.instance_id, Op.PASSIVATE, write)
        return Done()

    def _has_messages(self, instance_id: str) -> bool:
        if instance_id in self._at:
            self._write_changes()
        row = self._session.one(HAS_MESSAGES, instance_id=instance_id)
        return row is not None and bool(row[0])
