"""Schedules: orchestrations that are started again and again, by the clock."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, get_args

from durable_ray.actors import errors
from durable_ray.actors.instances.status import micros
from durable_ray.actors.messages import ScheduleReply
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import Placement
from durable_ray.client.operations.base import AnyOrchestrator, ClientCore, H, definition_of, encoded_input
from durable_ray.client.schedule_view import ScheduleDescription, ScheduleStatus, described_schedule
from durable_ray.client.steps import Steps, operation
from durable_ray.orchestrations.schedules.documents import encode_schedule
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import (
    CatchUp,
    Overlap,
    Schedule,
    ScheduleAction,
    SchedulePolicy,
    one_of,
    overlaps,
    validate_schedule_id,
)
from durable_ray.orchestrations.schedules.spec import ScheduleSpec
from durable_ray.orchestrations.schedules.state import (
    ScheduleBackfilled,
    ScheduleEvent,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTriggered,
    ScheduleUpdated,
)
from durable_ray.orchestrations.values.ids import validate_tags

#: Schedules of one page.
_PAGE = 200


class ScheduleOperations(ClientCore[H]):
    """Everything that concerns schedules."""

    @operation
    def create_schedule(
        self,
        schedule_id: str,
        orchestrator: AnyOrchestrator,
        input: object = None,
        *,
        spec: ScheduleSpec | str,
        overlap: Overlap = "skip",
        catch_up: CatchUp = "all",
        catch_up_window: timedelta | float = 60.0,
        pause_on_failure: bool = False,
        instance_id: str | None = None,
        version: str | None = None,
        tags: Mapping[str, str] | None = None,
        placement: Placement | None = None,
        priority: int | None = None,
        paused: bool = False,
        note: str = "",
    ) -> Steps[ScheduleDescription]:
        """Start an orchestration at each time of a spec; the schedule is durable when this returns.

        Each time due is run exactly once, or skipped for a reason that `get_schedule` shows, whatever processes die.

        Args:
            schedule_id: names the schedule, by the rules of an instance ID.
            orchestrator: the decorated function (or `orchestrator.bind(...)`), or the name under which it is deployed. Each run
                takes the newest code.
            input: the same for each run.
            spec: when it is due: a `ScheduleSpec`, or a cron expression (in UTC).
            overlap: if a run is due while one is under way: "skip" it, let one wait ("buffer_one") or all ("buffer_all"),
                "terminate" the one under way, or "allow_all".
            catch_up: of the times that were missed while the hub was away, run "all", the "latest" or "none".
            catch_up_window: how late a missed time may be run (timedelta or seconds); at least ten seconds.
            pause_on_failure: pause when a run fails.
            instance_id: the ID of each run, in which ``{schedule_id}`` and ``{time}`` are filled in. If left out, it is the
                schedule's, so that its runs are a singleton; with "allow_all" ``{schedule_id}:{time}``.
            version, tags, placement, priority: of each run, as in `start_new`.
            paused, note: create it paused, and why.

        Raises:
            InvalidSchedule: (a ValueError) what is wrong, and what to do.
            ScheduleAlreadyExists: the ID is taken.
            UnknownDefinition: no orchestrator of that name (and version) is deployed.

        Example:
            >>> client.create_schedule("nightly", report, spec=ScheduleSpec("30 2 * * *", time_zone="Europe/Berlin"))
            ... # doctest: +SKIP
        """
        definition, payload = definition_of(orchestrator), encoded_input(orchestrator, input)
        name, own = (definition, None) if isinstance(definition, str) else (definition.name, definition.version or None)
        labels, chosen = validate_tags(tags), version or own
        action = ScheduleAction(name, payload, chosen, instance_id, labels, placement, priority)
        policy = SchedulePolicy(overlap, catch_up, catch_up_window, pause_on_failure)
        schedule = Schedule(_spec(spec), action, policy)
        return (yield from self._create(schedule_id, schedule, bool(paused), _note(note)))

    @operation
    def get_schedule(self, schedule_id: str) -> Steps[ScheduleDescription | None]:
        """A schedule with its next times, last runs, and why times were skipped; None if there is none."""
        text = yield from self._router.registry(Registry.schedule, _text(schedule_id, "a schedule's ID"))
        return None if text is None else described_schedule(text)

    @operation
    def list_schedules(
        self,
        *,
        schedule_id_prefix: str | None = None,
        status: ScheduleStatus | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Steps[list[ScheduleDescription]]:
        """The schedules of the hub, by ID: all, or those with this prefix, this status and all of these tags."""
        if status is not None:
            one_of("status", status, get_args(ScheduleStatus))
        if tags == {} or schedule_id_prefix == "":
            raise ValueError("a filter that says nothing is none: leave out tags={} and an empty prefix to list all")
        wanted = validate_tags(tags).items()
        prefix = "" if schedule_id_prefix is None else _text(schedule_id_prefix, "schedule_id_prefix")
        found: list[ScheduleDescription] = []
        after = ""
        while True:
            page = yield from self._router.registry(Registry.schedules, prefix, after, _PAGE)
            described = [described_schedule(text) for text in page]
            found += [
                one
                for one in described
                if (status is None or one.status == status) and wanted <= one.schedule.action.tags.items()
            ]
            if len(page) < _PAGE:
                return found
            after = described[-1].schedule_id

    @operation
    def pause_schedule(self, schedule_id: str, note: str = "") -> Steps[ScheduleDescription]:
        """Let nothing be due until it is resumed. Runs under way go on.

        Raises:
            ScheduleNotFound: there is none.
            InvalidState: it is paused already.
        """
        return (yield from self._change(schedule_id, SchedulePaused(_note(note))))

    @operation
    def resume_schedule(self, schedule_id: str, note: str = "") -> Steps[ScheduleDescription]:
        """Let times be due again, from now on: those of the pause are not caught up (`backfill_schedule` runs them).

        Raises:
            ScheduleNotFound: there is none.
            InvalidState: it is not paused.
        """
        return (yield from self._change(schedule_id, ScheduleResumed(_note(note))))

    @operation
    def trigger_schedule(self, schedule_id: str, *, overlap: Overlap | None = None) -> Steps[ScheduleDescription]:
        """Start a run now, paused or not; by this overlap policy, or the schedule's. It does not count as one by schedule.

        Raises:
            ScheduleNotFound: there is none.
            InvalidState: a run is under way, and the policy lets none begin or wait.
            InvalidSchedule: runs that have one instance ID cannot overlap.
        """
        if overlap is not None:
            one_of("overlap", overlap, overlaps())
        return (yield from self._change(schedule_id, ScheduleTriggered(uuid.uuid4().hex, overlap)))

    @operation
    def backfill_schedule(
        self,
        schedule_id: str,
        begin: datetime,
        end: datetime,
        *,
        overlap: Literal["buffer_all", "allow_all"] = "buffer_all",
    ) -> Steps[ScheduleDescription]:
        """Run all times due from `begin` to `end` (included, naive: UTC), also those that were run: one after the other, or all
        at once.

        Raises:
            ScheduleNotFound: there is none.
            InvalidSchedule: they are not past, there are none or more than a thousand, or they cannot overlap.
        """
        one_of("overlap", overlap, ("buffer_all", "allow_all"))
        for name, value in (("begin", begin), ("end", end)):
            given: object = value
            if not isinstance(given, datetime):
                raise TypeError(f"{name} is a datetime, not {value!r}")
        event = ScheduleBackfilled(uuid.uuid4().hex, micros(begin), micros(end), overlap)
        return (yield from self._change(schedule_id, event))

    @operation
    def update_schedule(
        self, schedule_id: str, schedule: Schedule, *, version: int | None = None
    ) -> Steps[ScheduleDescription]:
        """Make it another schedule from now on; its runs, counts and pauses stay.

        Args:
            schedule: what `get_schedule` has, with other parts: ``msgspec.structs.replace(found.schedule, spec=...)``.
            version: only if it still has this version: two who change it at once do not undo each other's changes.

        Raises:
            ScheduleNotFound: there is none.
            ScheduleChanged: it has another version by now.
            InvalidSchedule: what is wrong with it.
            UnknownDefinition: its orchestrator is not deployed.
        """
        given: object = schedule
        if not isinstance(given, Schedule):
            raise TypeError(
                f"schedule is a Schedule, not {schedule!r}; take that of get_schedule and replace parts of it"
            )
        yield from self._deployer.deploy(self._router, schedule.action.orchestrator, schedule.action.version)
        return (yield from self._change(schedule_id, ScheduleUpdated(schedule, version)))

    @operation
    def delete_schedule(self, schedule_id: str) -> Steps[None]:
        """Delete a schedule. Runs under way go on, those that wait are not begun.

        Raises:
            ScheduleNotFound: there is none.
        """
        if not (yield from self._router.registry(Registry.delete_schedule, _text(schedule_id, "a schedule's ID"))):
            raise errors.ScheduleNotFound(schedule_id)

    def _create(self, schedule_id: str, schedule: Schedule, paused: bool, note: str) -> Steps[ScheduleDescription]:
        validate_schedule_id(schedule_id, schedule)
        yield from self._deployer.deploy(self._router, schedule.action.orchestrator, schedule.action.version)
        text, revision = encode_schedule(schedule), self._deployer.revision
        reply = yield from self._router.registry(
            Registry.create_schedule, uuid.uuid4().hex, schedule_id, text, paused, note, revision
        )
        return _described(schedule_id, reply)

    def _change(self, schedule_id: str, event: ScheduleEvent) -> Steps[ScheduleDescription]:
        _text(schedule_id, "a schedule's ID")
        revision = self._deployer.revision
        reply = yield from self._router.registry(
            Registry.change_schedule, uuid.uuid4().hex, schedule_id, event, revision
        )
        return _described(schedule_id, reply)


def _described(schedule_id: str, reply: ScheduleReply) -> ScheduleDescription:
    match reply.code:
        case "absent":
            raise errors.ScheduleNotFound(schedule_id)
        case "exists":
            raise errors.ScheduleAlreadyExists(schedule_id)
        case "invalid":
            raise InvalidSchedule(reply.detail)
        case "version":
            raise errors.ScheduleChanged(reply.detail)
        case "state":
            raise errors.InvalidState(f"schedule {schedule_id!r}: {reply.detail}")
        case "unknown":
            raise errors.UnknownDefinition(
                f"no orchestrator {reply.detail} is deployed to this hub; pass the decorated function, or deploy it first"
            )
    assert reply.state is not None
    return described_schedule(reply.state)


def _spec(spec: object) -> ScheduleSpec:
    if isinstance(spec, str):
        return ScheduleSpec(spec)
    if isinstance(spec, ScheduleSpec):
        return spec
    raise InvalidSchedule(f"spec is a ScheduleSpec, or a cron expression as text, not {spec!r}")


def _note(note: object) -> str:
    return _text(note, "a note")


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a text, not {value!r}")
    return value
