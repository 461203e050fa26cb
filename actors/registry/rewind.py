"""Rewind of a finished instance: what failed in it, and in its sub-orchestrations, runs again.

A finished instance has no host that could write its history, so the registry does, in one transaction for the whole
tree: each instance gets `ExecutionRewound` and runs again. What that means is the engine's business
(`orchestrations/engine/rewinding`): the host that loads the instance replays it, and resumes what was in progress.

Of every sub-orchestration that the rewound parent waits for again, one of these is true:
- it failed or was terminated: it is rewound itself, and answers when it ends;
- it runs: it answers when it ends;
- it completed while its parent was finished (or was itself rewound): its result is sent now;
- it was purged, or its ID has another owner: it is started again, or the parent is sent the reason why it cannot be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from durable_ray.actors.clock import SECOND, Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.errors import DamagedHistory
from durable_ray.actors.host.turns import out_message, receipt_reply, receipt_text
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.instances.rewind_plan import Move, rewind_events
from durable_ray.actors.messages import Reply, started_anew
from durable_ray.actors.store.background import Blocking
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.records import InboxMessage, InstanceRow, Loaded, Receipt
from durable_ray.actors.store.writes import Answer, CommitTurn, Exists, Stale, StartInstance, Write
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event, encode_events
from durable_ray.orchestrations.history.events import ParentAddress
from durable_ray.orchestrations.history.snapshot import Snapshot
from durable_ray.orchestrations.history.transition import ChildStart, child_conflict, tell_parent, unknown_child

#: Attempts for a tree that changes meanwhile.
_ROUNDS = 5


class _Waited(Struct, frozen=True):
    """A sub-orchestration that a rewound parent waits for."""

    parent_id: str
    execution_id: str
    scheduled: ev.ChildScheduled
    attempt: int

    @property
    def address(self) -> ParentAddress:
        return ParentAddress(self.parent_id, self.execution_id, self.scheduled.task_id)

    @property
    def start(self) -> ChildStart:
        scheduled = self.scheduled
        return ChildStart(
            scheduled.task_id,
            scheduled.instance_id,
            scheduled.name,
            scheduled.input,
            scheduled.version,
            self.address,
            self.attempt,
        )


class _Changed(Exception):
    """An instance is not as it was when its history was replayed on other code."""


class _Plan(Struct):
    """Writes in order (a parent before its children's answers), each with the child that it is about."""

    writes: list[Write] = field(default_factory=list)
    about: list[_Waited | None] = field(default_factory=list)
    notify: list[tuple[str, str]] = field(default_factory=list)
    #: The code to which each instance moves, by its ID; None: all stay on theirs.
    moves: Mapping[str, Move] | None = None

    def move(self, row: InstanceRow) -> Move | None:
        """The code on which this instance continues. Raises `_Changed` if that was checked for another state of it."""
        if self.moves is None:
            return None
        move = self.moves.get(row.instance_id)
        if move is None or (move.execution_id, move.turn) != (row.execution_id, row.turn):
            raise _Changed(row.instance_id)
        return move

    def add(self, write: Write, about: _Waited | None) -> None:
        self.writes.append(write)
        self.about.append(about)


class Rewinder:
    """Rewinds one tree at a time."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        instance_factory: InstanceFactory,
        definition_cache: DefinitionCache,
        clock: Clock,
        settings: HubConfig,
        blocking: Blocking,
    ) -> None:
        self._store = store
        self._committer = committer
        self._instance_factory = instance_factory
        self._definition_cache = definition_cache
        self._clock = clock
        self._keep = int(settings.receipt_seconds * SECOND)
        self._blocking = blocking
        self._one = asyncio.Lock()

    async def rewind(
        self,
        request_id: str,
        instance_id: str,
        reason: str | None,
        moves: Mapping[str, Move] | None = None,
        created_at: int | None = None,
    ) -> tuple[Reply, list[tuple[str, str]]]:
        """Rewind an instance and what failed below it; answers also whom to notify, as (host, instance).

        With `moves` (see `moves`), whose histories were replayed, all continue on other code; "moved" if one has changed.
        """
        async with self._one:
            known = await self._blocking(lambda: self._store.receipts([request_id]))
            if request_id in known:
                return receipt_reply(known[request_id]), []
            for _ in range(_ROUNDS):
                loaded = await self._load(instance_id)
                refusal = _refusal(loaded)
                if loaded is not None and created_at not in (None, loaded.row.created_at):
                    refusal = started_anew()
                if loaded is None or refusal is not None:
                    return refusal or Reply("absent"), []
                plan = _Plan(moves=moves)
                receipt = Receipt(request_id, receipt_text(Reply("ok")), self._clock.now() + self._keep)
                try:
                    await self._plan(plan, loaded, reason, (receipt,), None)
                except _Changed:
                    return Reply("moved"), []
                except DamagedHistory as error:
                    return Reply("refused", str(error)), []
                answers = await self._committer.write(plan.writes)
                if not isinstance(answers[0], Stale):
                    await self._retry(plan, answers, reason)
                    return Reply("ok"), plan.notify
        return Reply("refused", "it changes while it is being rewound; try again"), []

    async def moves(self, instance_id: str) -> Reply | list[Move]:
        """The newest code of an instance and of what failed below it: all that a rewind would bring back."""
        found: list[Move] = []
        todo: list[tuple[str, ParentAddress | None]] = [(instance_id, None)]
        while todo:
            at, parent = todo.pop()
            loaded = await self._load(at)
            refusal = _refusal(loaded)
            if parent is None and (refusal is not None or loaded is None):
                return refusal or Reply("absent")
            if loaded is None or refusal is not None or (parent is not None and loaded.row.parent != parent):
                continue  # it runs, or has a result, or is started again
            row = loaded.row
            known = self._definition_cache.known_orchestrator(row.name)
            if known is None:
                return Reply("unknown", repr(row.name))
            if self._definition_cache.environment(known.row) != row.environment:
                return Reply(
                    "refused", f"the newest code of {at!r} needs another runtime environment than its host has"
                )
            found.append(Move(at, row.execution_id, row.turn, row.host, row.name, known.row.version, known.row.code_id))
            try:
                history, _ = restore(loaded)
            except DamagedHistory as error:
                return Reply("refused", str(error))
            _, snapshot = rewind_events(at, history, self._clock.now(), None, self._newest)
            for task_id, task in snapshot.children.items():
                if task_id not in snapshot.retries and isinstance(task.scheduled, ev.ChildScheduled):
                    child = _Waited(at, row.execution_id, task.scheduled, task.attempt)
                    todo.append((task.scheduled.instance_id, child.address))
        return found

    async def _retry(self, plan: _Plan, answers: Sequence[Answer], reason: str | None) -> None:
        """Plan again for children that have changed since they were read."""
        for _ in range(_ROUNDS):
            changed = [
                about
                for about, answer in zip(plan.about, answers, strict=True)
                if about is not None and isinstance(answer, Stale | Exists)
            ]
            if not changed:
                return
            more = _Plan(notify=plan.notify)
            for child in changed:
                await self._child(more, child, reason)
            plan, answers = more, await self._committer.write(more.writes) if more.writes else ()

    async def _plan(
        self, plan: _Plan, loaded: Loaded, reason: str | None, receipts: tuple[Receipt, ...], about: _Waited | None
    ) -> None:
        row = loaded.row
        history, _ = restore(loaded)
        move = plan.move(row)
        pinned = move is None and self._definition_cache.pins(row.name, row.version)
        code = (lambda activity: "") if pinned else self._newest
        events, snapshot = rewind_events(row.instance_id, history, self._clock.now(), reason, code, move)
        plan.add(_rewound(row, snapshot, events, receipts, move), about)
        plan.notify.append((row.host, row.instance_id))
        for task_id, task in snapshot.children.items():
            if task_id not in snapshot.retries and isinstance(task.scheduled, ev.ChildScheduled):
                child = _Waited(row.instance_id, row.execution_id, task.scheduled, task.attempt)
                await self._child(plan, child, reason)

    def _newest(self, activity: str) -> str:
        return self._definition_cache.activity(activity)[0]

    async def _child(self, plan: _Plan, child: _Waited, reason: str | None) -> None:
        """Make sure that this child will send its result."""
        loaded = await self._load(child.scheduled.instance_id)
        row = loaded.row if loaded is not None else None
        if loaded is None or row is None or (row.parent != child.address and row.finished):
            self._start_child(plan, child)
        elif row.parent != child.address:
            plan.add(out_message(child.parent_id, child_conflict(child.execution_id, child.start)), None)
        elif row.status == "Completed":
            ending = ev.ExecutionCompleted(row.output)
            result = tell_parent(row.instance_id, row.execution_id, child.address, ending)
            plan.add(out_message(child.parent_id, result), None)
        elif row.finished:
            await self._plan(plan, loaded, reason, (), child)

    def _start_child(self, plan: _Plan, child: _Waited) -> None:
        scheduled = child.scheduled
        if self._definition_cache.orchestrator(scheduled.name, scheduled.version) is None:
            missing = unknown_child(child.execution_id, scheduled, self._definition_cache)
            plan.add(out_message(child.parent_id, missing), None)
            return
        new = self._instance_factory.new_child(child.start, self._clock.now())
        plan.add(StartInstance(new), child)
        plan.notify.append((new.host, new.instance_id))

    async def _load(self, instance_id: str) -> Loaded | None:
        found = await self._blocking(lambda: self._store.load([instance_id]))
        loaded: Loaded | None = found.get(instance_id)
        return loaded


def _refusal(loaded: Loaded | None) -> Reply | None:
    if loaded is None:
        return Reply("absent")
    if loaded.row.status in ("Failed", "Terminated"):
        return None
    if loaded.row.status == "Completed":
        return Reply(
            "refused", "it completed; only a failed or terminated instance can be rewound (restart it instead)"
        )
    return Reply("refused", f"it is {loaded.row.status}; only a failed or terminated instance can be rewound")


def _rewound(
    row: InstanceRow,
    snapshot: Snapshot,
    events: Sequence[ev.Event],
    receipts: tuple[Receipt, ...],
    move: Move | None,
) -> CommitTurn:
    """The write that rewinds a finished instance.

    It also puts a message into the inbox, for no recipient in the code: a host consumes it once it has loaded the instance,
    and until then a sweep finds the instance by it, should the notification be lost.
    """
    at = snapshot.at
    call = InboxMessage(row.instance_id, f"rewound/{row.turn}", encode_event(ev.TurnStarted(at)), "nobody")
    return CommitTurn(
        instance_id=row.instance_id,
        execution_id=row.execution_id,
        host=row.host,
        turn=row.turn,
        name=row.name,
        old_status=row.status,
        status="Running",
        updated_at=at,
        body=encode_events(events),
        first_event=row.events,
        events=len(events),
        started_at=row.started_at or snapshot.started_at,
        next_due=at,
        custom_status=row.custom_status,
        messages=(call,),
        receipts=receipts,
        recode=None if move is None else (move.version, move.code_id),
        outstanding=len(snapshot.activities),
    )
