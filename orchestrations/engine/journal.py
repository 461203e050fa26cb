"""The journal of an execution: the commands of its code, matched against those that history recorded.

Code emits commands, each with the next number. In replay every command must find its record in history before
the turn that emitted it ends, and every record must find its command: anything else means that the code is
not what it was. Kind, name and target are compared; inputs are not, because a harmless change (a new field,
another order of keys) would then break instances that replay well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.engine.commands import Command
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event, Payload
from durable_ray.orchestrations.values.failures import NonDeterminismError

Encode = Callable[[object], Payload]

#: The events by which the runtime records commands.
Record = (
    ev.ActivityScheduled | ev.ActivityCanceled | ev.ChildScheduled | ev.TimerCreated | ev.TimerCanceled | ev.EventSent
)

_COMMAND_OF: dict[type, type] = {
    ev.ActivityScheduled: cmd.ScheduleActivity,
    ev.ActivityCanceled: cmd.CancelActivity,
    ev.ChildScheduled: cmd.ScheduleChild,
    ev.TimerCreated: cmd.CreateTimer,
    ev.TimerCanceled: cmd.CancelTimer,
    ev.EventSent: cmd.SendEvent,
}
RECORDS = frozenset(_COMMAND_OF)
_CANCELS = frozenset((ev.ActivityCanceled, ev.TimerCanceled, cmd.CancelActivity, cmd.CancelTimer))


class Adopter(Protocol):
    """Who numbers commands by content instead of by order (see `rewinding.py`)."""

    def adopt(self, command: Command) -> int | None:
        """The number of the record of `command` in the void part of history; None if it has none there."""


class Journal:
    """Numbers, collects and compares commands. Knows nothing of loops and tasks.

    Attributes:
        next_id: the number that the next command gets.
        event: how many events of history have been read; what messages call "event #n".
        adopter: set while history is read that a rewind made void.
    """

    __slots__ = ("_new", "_recorded", "_reported", "_strict", "adopter", "event", "next_id")

    def __init__(self) -> None:
        self.next_id = 1
        self.event = 0
        self.adopter: Adopter | None = None
        self._new: dict[int, Command] = {}
        self._reported: dict[int, Command] | None = None
        self._recorded: frozenset[int] | set[int] = frozenset()
        self._strict = False

    # --- the host's side ---

    def open(self, events: Sequence[Event], *, replaying: bool) -> None:
        """Begin to read `events`; in replay they are what the code has to agree with."""
        self._strict = replaying
        if replaying:
            self._recorded = {_key(event) for event in events if type(event) in RECORDS}  # type: ignore[arg-type]
            if self._reported:
                self._new, self._reported = self._reported, None
        else:
            self._reported = None

    def close(self) -> tuple[Command, ...]:
        """End reading; answers the commands that history does not have, in the order they were emitted."""
        wanted = tuple(self._new.values())
        # Where a replay stopped in the middle of a turn, the records of these may still follow.
        self._reported = self._new if self._strict and self._new else None
        self._new = {}
        self._recorded = frozenset()
        if not self._strict:
            self.event += len(wanted)
        return wanted

    def match(self, record: Record) -> None:
        """History has this record next; the code must have emitted it in this turn."""
        command = self._new.pop(_key(record), None)
        if command is None:
            said = describe(record)
            raise NonDeterminismError(
                f"history says at event #{self.event} that the code {said}, but the code running now did not."
                f"{self._instead()}{REMEDY}"
            )
        if not agree(command, record):
            raise NonDeterminismError(
                f"history says at event #{self.event} that the code {describe(record)}, but the code running "
                f"now {describe(command)} there.{REMEDY}"
            )

    def end_turn(self) -> None:
        """Another turn begins, or the execution ends: nothing that was emitted may be without its record."""
        if self._strict and self._new and self.adopter is None:
            command = next(iter(self._new.values()))
            raise NonDeterminismError(
                f"the code running now {describe(command)} before event #{self.event} of history, where "
                f"history records nothing of the kind.{REMEDY}"
            )

    def settled(self, record: Record) -> bool:
        """Take the command that `record` is the record of, if there is one: `match` without the complaint."""
        command = self._new.get(_key(record))
        if command is None or not agree(command, record):
            return False
        del self._new[_key(record)]
        return True

    def repeat(self, command: Command) -> None:
        """Ask once more for something that has its number already."""
        self._new.setdefault(_key(command), command)

    def _instead(self) -> str:
        others = [describe(command) for command in self._new.values()]
        return f" It {others[0]} instead." if others else ""

    # --- the code's side ---

    def payload(self, encode: Encode, value: object) -> Payload | None:
        """`value` encoded for the next command; None where history has it already and it would not be used."""
        if value is None or (self.next_id in self._recorded and self.adopter is None):
            return None
        try:
            return encode(value)
        except BaseException:
            # The number is burnt: on replay no record has it, so encoding is tried again and fails again.
            self.next_id += 1
            raise

    def emit(self, command: Command) -> int:
        """Ask for something; answers the number it got."""
        if self.adopter is not None:
            adopted = self.adopter.adopt(command)
            if adopted is not None:
                return adopted
        self.next_id += 1
        self._new[command.task_id] = command
        return command.task_id

    def retract(self, cancel: cmd.CancelTimer | cmd.CancelActivity) -> None:
        """Ask for something to be stopped. What history does not know yet is simply not asked for."""
        number = cancel.task_id
        if self.adopter is not None and self.adopter.adopt(cancel) is not None:
            return
        if number in self._new and number not in self._recorded:
            del self._new[number]
        else:
            self._new[-number] = cancel


def _key(thing: Record | Command) -> int:
    return -thing.task_id if type(thing) in _CANCELS else thing.task_id


def agree(command: Command, record: Record) -> bool:
    """Whether `record` may be the record of `command`, going by kind, name and target."""
    if type(command) is not _COMMAND_OF[type(record)]:
        return False
    # Once per event of every replay: plain tests are several times as fast here as patterns.
    if isinstance(record, ev.ActivityScheduled):
        assert isinstance(command, cmd.ScheduleActivity)
        return command.name == record.name
    if isinstance(record, ev.ChildScheduled):
        assert isinstance(command, cmd.ScheduleChild)
        chosen = command.instance_id
        return command.name == record.name and (chosen is None or chosen == record.instance_id)
    if isinstance(record, ev.EventSent):
        assert isinstance(command, cmd.SendEvent)
        same_name = command.name.casefold() == record.name.casefold()
        return same_name and command.instance_id == record.instance_id
    return True


def describe(thing: Record | Command) -> str:
    """What was done, as the rest of a sentence about the code.

    Example:
        >>> describe(cmd.ScheduleActivity(3, "pay"))
        "called activity 'pay' (#3)"
    """
    number = f"(#{thing.task_id})"
    match thing:
        case cmd.ScheduleActivity(name=name) | ev.ActivityScheduled(name=name):
            return f"called activity {name!r} {number}"
        case cmd.ScheduleChild(name=name, instance_id=target) | ev.ChildScheduled(name=name, instance_id=target):
            return f"called sub-orchestration {name!r}{f' as {target!r}' if target else ''} {number}"
        case cmd.SendEvent(name=name, instance_id=target) | ev.EventSent(name=name, instance_id=target):
            return f"sent event {name!r} to {target!r} {number}"
        case cmd.CreateTimer() | ev.TimerCreated():
            return f"created a timer {number}"
        case cmd.CancelTimer() | ev.TimerCanceled():
            return f"cancelled the timer {number}"
        case cmd.CancelActivity() | ev.ActivityCanceled():
            return f"cancelled the activity {number}"


#: The last sentences of every such error: why it usually happens and what helps.
REMEDY = (
    " Usual causes: the orchestrator was changed while this instance ran, or it reads something that differs "
    "from run to run (the clock, random numbers, environment, a global, the order of a set). Deploy such a "
    "change as a new version (version=...), so that running instances keep the code they began with; use "
    "ctx.current_utc_datetime, ctx.random and ctx.new_uuid(); do everything else in activities. Once the "
    "code agrees with history again, rewind the instance."
)
