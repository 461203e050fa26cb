"""The runs of schedules: what is due is decided and started, and the end of a run is noted.

All is decided by `orchestrations/schedules/transition.py`; here its events are found, and its effects carried out. A schedule's
new state and the starts that it decides are one commit, under the registry's fence; so no time is run twice, or forgotten,
whatever dies. A run is known by its instance ID and its created time, which is the time of that decision.

One alarm for all schedules: the first due time in the store. Changes come one after the other (`_changing`), many at once.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from durable_ray.actors.clock import SECOND, Clock, DueAlarm
from durable_ray.actors.host.turns import receipt_text
from durable_ray.actors.instances.requests import termination
from durable_ray.actors.instances.starting import Start, make_rows, take_answers
from durable_ray.actors.messages import Delivery, Reply, StartOptions, StartRequest
from durable_ray.actors.registry.admission import Hosts
from durable_ray.actors.registry.management import RegistryManagement
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.records import Fence, InstanceRow, Receipt, ScheduleRow
from durable_ray.actors.store.writes import (
    Outdated,
    Refused,
    Repeated,
    ScheduleStored,
    StartInstance,
    StoreSchedule,
)
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.schedules.documents import UnreadableSchedule, decode_state, encode_schedule
from durable_ray.orchestrations.schedules.schedule import time_text
from durable_ray.orchestrations.schedules.state import (
    RequestRejected,
    Run,
    RunEnded,
    RunOutcome,
    RunRefused,
    ScheduleDue,
    ScheduleEffect,
    ScheduleEvent,
    ScheduleState,
    StartRun,
    TerminateRun,
)
from durable_ray.orchestrations.schedules.transition import transition
from durable_ray.orchestrations.values.ids import SCHEDULE_TAG, SCHEDULED_AT_TAG

log = logging.getLogger("durable_ray.schedules")

#: So many schedules are decided in one commit.
_GROUP = 100
#: How long (µs) a schedule that cannot be read is left alone.
_UNREADABLE = 3600 * SECOND
_OUTCOMES: Mapping[str, RunOutcome] = {"Completed": "completed", "Failed": "failed", "Terminated": "terminated"}


class ScheduleChange(Struct):
    """Events of one schedule, and what becomes of it."""

    before: ScheduleState
    events: Sequence[ScheduleEvent]
    #: Of a client's request; each change has one, so that a commit of unknown outcome can be repeated.
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    #: What is decided.
    state: ScheduleState | None = None
    effects: list[ScheduleEffect] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    #: None until it is stored, or there is nothing to store.
    reply: Reply | None = None

    @property
    def after(self) -> ScheduleState:
        """The state that it leads to."""
        return self.before if self.state is None else self.state

    @property
    def rejected(self) -> RequestRejected | None:
        """Why a request cannot be carried out."""
        return next((effect for effect in self.effects if isinstance(effect, RequestRejected)), None)


class RegistryScheduling(RegistryManagement):
    """Decides, starts and follows the runs of schedules."""

    def __init__(self, store: Store, fence: Fence, clock: Clock, settings: HubConfig, hosts: Hosts) -> None:
        super().__init__(store, fence, clock, settings, hosts)
        #: Held by whoever reads schedules to change them.
        self._changing = asyncio.Lock()
        #: Set for the first time due of all.
        self.schedule_alarm = DueAlarm(clock, lambda: self.spawn(self.schedules_due()))
        #: Instances that have ended, to be noted; and whether others are being noted now.
        self._ended: dict[str, InstanceRow] = {}
        self._noting = False

    # --- what happens to schedules ----------------------------------------------------------------

    async def schedules_due(self) -> None:
        """Decide all that is due by now, and set the alarm for what is due next."""
        async with self._changing:
            while due := await self._due():
                states = [state for row in due if (state := await self._readable(row)) is not None]
                await self._change([ScheduleChange(state, (ScheduleDue(),)) for state in states])
        await self._arm()

    async def _due(self) -> Sequence[ScheduleRow]:
        now = self.clock.now()
        return await self.blocking(lambda: self.store.schedules_due(now, _GROUP))

    async def runs_ended(self, rows: Iterable[InstanceRow]) -> None:
        """Instances have ended; note it for those that are runs of schedules, and start what waited for them.

        Those that end while others are noted share the next commit.
        """
        self._ended.update({row.instance_id: row for row in rows if row.finished and SCHEDULE_TAG in row.tags})
        if self._noting or not self._ended:
            return
        self._noting = True
        try:
            while self._ended:
                ended, self._ended = self._ended, {}
                await self._note_ended(ended)
        finally:
            self._noting = False
        await self._arm()

    async def _note_ended(self, ended: Mapping[str, InstanceRow]) -> None:
        schedule_ids = sorted({row.tags[SCHEDULE_TAG] for row in ended.values()})
        async with self._changing:
            found = await self.blocking(lambda: self.store.schedules(schedule_ids))
            states = [state for row in found.values() if (state := await self._readable(row)) is not None]
            await self._change([ScheduleChange(state, _endings(state, ended, absent=False)) for state in states])

    async def _ended_without_process(self, ended: Sequence[InstanceRow]) -> None:
        await super()._ended_without_process(ended)
        if any(SCHEDULE_TAG in row.tags for row in ended):
            self.spawn(self._look_again([row.instance_id for row in ended]))

    async def _look_again(self, instance_ids: Sequence[str]) -> None:
        await self.runs_ended((await self.rows(instance_ids, "none")).values())

    async def sweep_schedules(self) -> None:
        """Repair what a lost report, or a crash between commit and action, left behind."""
        after = ""
        while True:
            async with self._changing:
                page = await self.blocking(partial(self.store.schedules_running, after, _GROUP))
                states = [state for row in page if (state := await self._readable(row)) is not None]
                ids = [run.instance_id for state in states for run in state.under_way]
                rows = await self.rows(ids, "none") if ids else {}
                await self._change([ScheduleChange(state, _endings(state, rows, absent=True)) for state in states])
            for state in states:
                for run in state.under_way:
                    if run.ending and (row := rows.get(run.instance_id)) is not None and not row.finished:
                        self.spawn(self._terminate(run, "its schedule has another run due"))
            if len(page) < _GROUP:
                break
            after = page[-1].schedule_id
        await self.schedules_due()

    # --- deciding, storing, acting ----------------------------------------------------------------

    async def _change(self, changes: Sequence[ScheduleChange]) -> None:
        """Decide these, store each together with the starts that it decides, then act. The lock is held."""
        pending = [change for change in changes if change.events]
        while pending:
            now = self.clock.now()
            for change in pending:
                self._decide(change, now)
            if any(start.new is None for change in pending for start in change.starts):
                await self.deployments.refresh()
                for change in pending:
                    self._decide(change, now)
            for change in pending:
                if change.state == change.before or change.rejected is not None:
                    change.reply = Reply("ok")
            await self._commit([change for change in pending if change.reply is None], now)
            if any(change.reply is None for change in pending):
                await self.deployments.refresh()  # decided by definitions that are outdated
            refused = [_refusals(change) for change in pending if change.reply is not None]
            undecided = [change for change in pending if change.reply is None]
            for change in pending:
                if change.reply is not None:
                    await self._act(change)
            pending = undecided + [change for change in refused if change.events]

    def _decide(self, change: ScheduleChange, now: int) -> None:
        """The new state, and rows of the instances to start. What is not deployed counts as refused at once."""
        state = change.before
        effects: list[ScheduleEffect] = []
        starts: list[Start] = []
        events: list[ScheduleEvent] = list(change.events)
        while events:
            state, decided = transition(state, events.pop(0), now)
            for effect in decided:
                if not isinstance(effect, StartRun):
                    effects.append(effect)
                    continue
                start = Start(StartRequest(effect.request_id, _options(state, effect)), None)
                make_rows([start], self._instance_factory, now)
                starts.append(start)
                if start.new is None:
                    missing = self._instance_factory.missing(start.request.start_options)
                    events.append(RunRefused(effect.request_id, f"no orchestrator {missing} is deployed to this hub"))
        change.state, change.effects, change.starts = state, effects, starts

    async def _commit(self, changes: Sequence[ScheduleChange], now: int) -> None:
        if not changes:
            return
        until = now + int(self.settings.receipt_seconds * SECOND)
        writes = [
            StoreSchedule(
                schedule_row(change.after),
                tuple(
                    StartInstance(start.new, "reject", None, revision=start.revision)
                    for start in change.starts
                    if start.new is not None
                ),
                Receipt(change.request_id, receipt_text(Reply("ok")), until),
            )
            for change in changes
        ]
        answers = await self._committer.write_once(writes)
        for change, answer in zip(changes, answers, strict=True):
            match answer:
                case ScheduleStored(starts=starts):
                    take_answers(change.starts, starts)
                    change.reply = Reply("ok")
                case Repeated():
                    await self._find_started(change)
                    change.reply = Reply("ok")
                case Refused(reason=reason):
                    log.error("the schedule %r cannot be stored: %s", change.before.schedule_id, reason)
                    change.reply = Reply("refused", reason)
                case Outdated():
                    pass
                case _:
                    raise TypeError(f"a schedule was answered by {answer!r}")

    async def _find_started(self, change: ScheduleChange) -> None:
        """A commit of unknown outcome was made after all: which of its starts were?"""
        rows = await self.rows([start.request.start_options.instance_id for start in change.starts], "none")
        for start in change.starts:
            row = rows.get(start.request.start_options.instance_id)
            if start.new is not None:
                mine = row is not None and row.created_at == start.new.created_at
                start.reply = Reply("ok", host=start.new.host) if mine else Reply("exists", "not started")

    async def _act(self, change: ScheduleChange) -> None:
        """What was stored is carried out. If this process ends before that, its successor's sweeps do it."""
        if change.reply is None or change.reply.code != "ok":
            return
        await self._started(change.starts)
        for start in change.starts:
            if start.reply is not None and start.reply.code == "ok":
                options = start.request.start_options
                log.info("schedule %r started %r", change.after.schedule_id, options.instance_id)
        for effect in change.effects:
            if isinstance(effect, TerminateRun):
                run = next((run for run in change.after.under_way if run.request_id == effect.request_id), None)
                if run is not None:
                    self.spawn(self._terminate(run, effect.reason))

    async def _terminate(self, run: Run, reason: str) -> None:
        row = (await self.rows([run.instance_id], "none")).get(run.instance_id)
        if row is None or row.finished or row.created_at != run.started_at:
            return
        message_id = f"{run.request_id}:terminate"
        message = Message(message_id, termination(reason, recursive=False, cancel_activities=False))
        await self.deliver_once(Delivery(message_id, run.instance_id, message), message_id)

    async def _readable(self, row: ScheduleRow) -> ScheduleState | None:
        """The state of a row. One that cannot be read delays no others: it is looked at again after a while."""
        try:
            return decode_state(row.state)
        except UnreadableSchedule as error:
            log.error("the schedule %r is not run: %s", row.schedule_id, error)
            if row.due is not None:
                later = replace(row, due=self.clock.now() + _UNREADABLE)
                await self._committer.write_once([StoreSchedule(later)])
            return None

    async def _arm(self) -> None:
        await self.schedule_alarm.set_by(self.blocking(self.store.schedule_next))


def schedule_row(state: ScheduleState) -> ScheduleRow:
    """A schedule as it is stored."""
    due = None if state.next_due is None else state.next_due.at
    return ScheduleRow(
        state.schedule_id,
        "deleted" if state.deleted else "paused" if state.paused else "ended" if state.ended else "active",
        state.created_at,
        due,
        len(state.under_way),
        encode_schedule(state),
    )


def _options(state: ScheduleState, run: StartRun) -> StartOptions:
    action = state.schedule.action
    return StartOptions.like(
        action,
        name=action.orchestrator,
        instance_id=run.instance_id,
        execution_id=uuid.uuid5(uuid.NAMESPACE_OID, run.request_id).hex,
        named=True,
        tags={**action.tags, SCHEDULE_TAG: state.schedule_id, SCHEDULED_AT_TAG: time_text(run.time)},
    )


def _endings(state: ScheduleState, rows: Mapping[str, InstanceRow], *, absent: bool) -> list[ScheduleEvent]:
    """The runs that have ended by these rows; with `absent` also those that are in none of them, or in another's."""
    events: list[ScheduleEvent] = []
    for run in state.under_way:
        row = rows.get(run.instance_id)
        if row is None or row.created_at != run.started_at:
            if absent:
                events.append(RunEnded(run.request_id, "lost"))
        elif row.finished:
            events.append(RunEnded(run.request_id, _OUTCOMES[row.status]))
    return events


def _refusals(change: ScheduleChange) -> ScheduleChange:
    """What follows from starts whose ID was taken."""
    events = [
        RunRefused(start.request.request_id, _why(start))
        for start in change.starts
        if start.new is not None and start.reply is not None and start.reply.code != "ok"
    ]
    return ScheduleChange(change.after, events)


def _why(start: Start) -> str:
    assert start.reply is not None
    taken = f"the instance {start.request.start_options.instance_id!r} exists and is no run of this schedule"
    return taken if start.reply.code == "exists" else start.reply.detail
