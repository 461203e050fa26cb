"""Schedules that code declares: created and changed when that code is deployed.

What was declared is kept with the schedule, beside what it is. Processes deploy whenever they start, so a deployment is no
decision by itself: only what differs from what was declared before changes a schedule. Whether the newest code still declares
it is not stored but looked up, so no order of deployments can leave it wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from durable_ray.actors.code.described import KnownActivity, KnownOrchestrator
from durable_ray.actors.registry.schedules.scheduling import RegistryScheduling, ScheduleChange
from durable_ray.actors.store.records import ScheduleRow
from durable_ray.orchestrations.schedules.declared import declared_in
from durable_ray.orchestrations.schedules.documents import UnreadableSchedule, decode_state, encode_schedule
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.state import Declaration, ScheduleDeclared, ScheduleState
from durable_ray.orchestrations.schedules.transition import absent

log = logging.getLogger("durable_ray.schedules")


class RegistryDeclaring(RegistryScheduling):
    """Applies what code declares, and tells whether it still does."""

    async def check_declared(self, definitions: Iterable[KnownActivity | KnownOrchestrator]) -> Sequence[str]:
        """Names of those of these definitions, not stored yet, that declare schedules.

        Raises:
            InvalidSchedule: one declares what cannot be read, or an ID that another orchestrator's schedule has.
        """
        declared = _declared(definitions)
        await self._states(declared)
        return [declaration.orchestrator for declaration in declared.values()]

    async def declare_schedules(self, names: Iterable[str]) -> None:
        """Create and change schedules as the newest code of these orchestrators declares them. May raise InvalidSchedule."""
        async with self._changing:
            known = [self.definition_cache.known_orchestrator(name) for name in sorted(names)]
            declared = _declared(one for one in known if one is not None)
            states = await self._states(declared)
            now = self.clock.now()
            changes = [
                ScheduleChange(state, (ScheduleDeclared(declaration),))
                for schedule_id, declaration in declared.items()
                if (state := states.get(schedule_id, absent(schedule_id, declaration, now))) is not None
            ]
            await self._change(changes)
        for change in changes:
            if change.after != change.before:
                log.info("schedule %r was created or changed, as code declares it", change.after.schedule_id)
            elif change.after.deleted:
                log.warning("schedule %r is declared by code but was deleted, and stays so", change.after.schedule_id)
        await self._arm()

    async def _states(self, declared: Mapping[str, Declaration]) -> Mapping[str, ScheduleState | None]:
        """What there is of the schedules of these IDs; None: it cannot be read. Raises InvalidSchedule if one is another
        orchestrator's."""
        rows = await self.blocking(lambda: self.store.schedules(list(declared)))
        states: dict[str, ScheduleState | None] = {}
        for schedule_id, row in rows.items():
            state = states[schedule_id] = await self._readable(row)
            if state is None or state.deleted:
                continue
            name = declared[schedule_id].orchestrator
            owner = state.schedule.action.orchestrator if state.declared is None else state.declared.orchestrator
            if owner != name:
                raise InvalidSchedule(
                    f"the schedule of orchestrator {name!r}: there is a schedule {schedule_id!r} of orchestrator {owner!r}; "
                    "delete that one, or declare another schedule_id"
                )
        return states

    def _declares(self, schedule_id: str, declaration: Declaration) -> bool:
        """Whether the newest code of its orchestrator still declares this schedule; true if that is not known."""
        known = self.definition_cache.known_orchestrator(declaration.orchestrator)
        if known is None:
            return True
        return known.options.schedule is not None and known.options.schedule.get("schedule_id") == schedule_id

    def _shown(self, row: ScheduleRow) -> str:
        """The state of a row, as text; it tells whether code still declares the schedule."""
        if '"declared":' not in row.state:
            return row.state
        try:
            state = decode_state(row.state)
        except UnreadableSchedule:
            return row.state
        if state.declared is None or self._declares(row.schedule_id, state.declared):
            return row.state
        return encode_schedule(replace(state, declared=replace(state.declared, current=False)))


def _declared(definitions: Iterable[KnownActivity | KnownOrchestrator]) -> dict[str, Declaration]:
    """By schedule ID; of one orchestrator the last counts."""
    by_name: dict[str, KnownOrchestrator] = {}
    for known in definitions:
        if isinstance(known, KnownOrchestrator):
            by_name[known.options.name] = known
    declared: dict[str, Declaration] = {}
    for name, known in by_name.items():
        if known.options.schedule is not None:
            schedule_id, schedule = declared_in(known.options.schedule)
            if (other := declared.get(schedule_id)) is not None:
                raise InvalidSchedule(
                    f"the orchestrators {other.orchestrator!r} and {name!r} both declare the schedule {schedule_id!r}: "
                    "give one of them another schedule_id"
                )
            declared[schedule_id] = Declaration(name, schedule)
    return declared
