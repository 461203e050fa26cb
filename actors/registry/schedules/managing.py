"""Requests of clients about schedules: create, read, change, delete."""

from __future__ import annotations

from msgspec.structs import replace

from durable_ray.actors.clock import SECOND
from durable_ray.actors.host.turns import receipt_text
from durable_ray.actors.messages import Reply, ScheduleReply
from durable_ray.actors.registry.schedules.declaring import RegistryDeclaring
from durable_ray.actors.registry.schedules.scheduling import ScheduleChange, schedule_row
from durable_ray.actors.store.records import Receipt, ScheduleRow
from durable_ray.actors.store.writes import Refused, StoreSchedule
from durable_ray.orchestrations.schedules.documents import decode_schedule, decode_state
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import Schedule
from durable_ray.orchestrations.schedules.state import ScheduleEvent, ScheduleUpdated
from durable_ray.orchestrations.schedules.transition import create, deleted


class RegistrySchedules(RegistryDeclaring):
    """What clients ask about schedules. A request that is repeated with its ID is carried out once."""

    async def create_schedule(
        self, request_id: str, schedule_id: str, schedule: str, paused: bool = False, note: str = "", revision: int = 0
    ) -> ScheduleReply:
        """Create a schedule of this JSON text, unless there is one of its ID."""
        await self.deployments.current(revision)
        async with self._changing:
            found = (await self.blocking(lambda: self.store.schedules([schedule_id]))).get(schedule_id)
            if found is not None and found.status != "deleted":
                repeated = await self._recorded([request_id])
                return ScheduleReply("ok" if repeated else "exists", state=self._shown(found))
            now = self.clock.now()
            try:
                state = create(schedule_id, decode_schedule(schedule), now, paused=paused, note=note)
            except InvalidSchedule as error:
                return ScheduleReply("invalid", str(error))
            if (missing := await self._missing(state.schedule)) is not None:
                return ScheduleReply("unknown", missing)
            if found is not None:
                state = replace(state, declared=decode_state(found.state).declared)
            receipt = Receipt(request_id, receipt_text(Reply("ok")), now + int(self.settings.receipt_seconds * SECOND))
            row = schedule_row(state)
            (answer,) = await self._committer.write_once([StoreSchedule(row, receipt=receipt)])
            if isinstance(answer, Refused):
                return ScheduleReply("invalid", answer.reason)
        await self._arm()
        return ScheduleReply("ok", state=self._shown(row))

    async def schedule(self, schedule_id: str) -> str | None:
        """The state of a schedule, as text; None if there is none."""
        row = await self._found(schedule_id)
        return None if row is None else self._shown(row)

    async def schedules(self, prefix: str, after: str, limit: int) -> list[str]:
        """The states of the next `limit` schedules whose ID begins so, by ID, after this one."""
        rows = await self.blocking(lambda: self.store.schedules_page(prefix, after, limit))
        return [self._shown(row) for row in rows if row.schedule_id.startswith(prefix)]

    async def change_schedule(
        self, request_id: str, schedule_id: str, event: ScheduleEvent, revision: int = 0
    ) -> ScheduleReply:
        """Pause, resume, trigger, update or backfill a schedule."""
        await self.deployments.current(revision)
        async with self._changing:
            found = await self._found(schedule_id)
            if found is None:
                return ScheduleReply("absent")
            if await self._recorded([request_id]):
                return ScheduleReply("ok", state=self._shown(found))
            if isinstance(event, ScheduleUpdated) and (missing := await self._missing(event.schedule)) is not None:
                return ScheduleReply("unknown", missing)
            change = ScheduleChange(decode_state(found.state), (event,), request_id)
            await self._change([change])
        await self._arm()
        if (rejected := change.rejected) is not None:
            return ScheduleReply(rejected.code, rejected.detail)
        if change.reply is not None and change.reply.code != "ok":
            return ScheduleReply("invalid", change.reply.detail)
        return ScheduleReply("ok", state=self._shown(schedule_row(change.after)))

    async def delete_schedule(self, schedule_id: str) -> bool:
        """Delete a schedule; its runs go on. False if there is none.

        Of one that code declares it is kept what was declared: deploying the same code again does not bring it back.
        """
        async with self._changing:
            if (row := await self._found(schedule_id)) is None:
                return False
            state = await self._readable(row)
            if state is not None and state.declared is not None and self._declares(schedule_id, state.declared):
                await self._committer.write_once([StoreSchedule(schedule_row(deleted(state, state.declared)))])
            else:
                await self.blocking(lambda: self.store.delete_schedule(schedule_id))
        await self._arm()
        return True

    async def _found(self, schedule_id: str) -> ScheduleRow | None:
        row = (await self.blocking(lambda: self.store.schedules([schedule_id]))).get(schedule_id)
        return None if row is None or row.status == "deleted" else row

    async def _missing(self, schedule: Schedule) -> str | None:
        """Which orchestrator is not deployed, if it is not."""
        action = schedule.action
        for _ in range(2):
            if self.definition_cache.known_orchestrator(action.orchestrator, action.version) is not None:
                return None
            await self.deployments.refresh()
        return f"{action.orchestrator!r}" + (f" version {action.version!r}" if action.version else "")
