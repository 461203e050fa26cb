"""What a rewind makes void, and what it lets stand.

`ExecutionRewound(task_ids)` records that the failures of those tasks did not happen. History is not rewritten
for that: it is read differently. From the first of those failures to the rewind lies a *region* in which

- what came from outside (results, timers, events) is delivered as ever, except for the void failures
  themselves;
- what the code asks for without the failure is matched by content among what it asked for then. What is
  found keeps its number and its result, so work that did not depend on the failure is not done again. What is
  not found is new, and gets a number that history has not used;
- what the code asked for then and does not ask for now (a clean-up, say) stays in history, void.

At the rewind itself the code asks once more for what ended with the failed execution: every timer it still
waits for, and every activity that was cancelled only because of the failure. And it gives up what it does not ask for
any more: an activity that failed in the handler of another's failure (a compensation, say) is void with that one.

Which events a region covers depends on history alone, so every later replay reads it alike.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.engine.commands import Command
from durable_ray.orchestrations.engine.journal import RECORDS, Journal, Record, agree
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event

_FAILURES = (ev.ActivityFailed, ev.ChildFailed)
_ENDINGS = (ev.ExecutionFailed, ev.ExecutionTerminated, ev.ExecutionCompleted, ev.ContinuedAsNew)


class Region(Struct):
    """A stretch of history, by position: from the first event made void to the last rewind that made one so.

    It is also who numbers commands meanwhile (`journal.Adopter`).
    """

    first: int
    last: int
    #: What is delivered all the same.
    inputs: list[Event]
    #: What the code asked for then and has not asked for now.
    unclaimed: list[Record]
    #: Every activity and timer of history up to here, by number: what may have to be asked for again.
    earlier: Mapping[int, Record]
    #: The highest number that history has used up to here.
    highest: int
    #: The tasks that run again, because their failures are void.
    rewound: frozenset[int]
    #: Those of them that do not, if the code does not ask for them any more.
    droppable: frozenset[int]
    #: Results that arrived before the code, which takes another path now, scheduled their tasks.
    early: dict[int, Event] = field(default_factory=dict)
    #: Those of them that it has asked for since.
    due: list[Event] = field(default_factory=list)

    def enter(self, journal: Journal) -> None:
        """Begin to number by content."""
        # Asked for in the same turn but before the failure: not in question.
        self.unclaimed = [record for record in self.unclaimed if not journal.settled(record)]
        journal.next_id = max(journal.next_id, self.highest + 1)
        journal.adopter = self

    def adopt(self, command: Command) -> int | None:
        """The number of the oldest unclaimed record that equals `command`."""
        for position, record in enumerate(self.unclaimed):
            if _same(command, record):
                del self.unclaimed[position]
                if record.task_id in self.early:
                    self.due.append(self.early.pop(record.task_id))
                return record.task_id
        return None

    def note(self, event: Event, waiting: Container[int]) -> None:
        """Note `event`, which is about to be delivered, if no task waits for it."""
        number = getattr(event, "task_id", 0)
        if number and number not in waiting and any(record.task_id == number for record in self.unclaimed):
            self.early[number] = event

    def leave(self, journal: Journal, waiting: Iterable[int]) -> None:
        """Back to numbering by order; ask again for what ended with the failed execution."""
        journal.adopter = None
        stopped = {
            record.task_id for record in self.unclaimed if isinstance(record, ev.ActivityCanceled)
        } - self.rewound
        for number in sorted(self.droppable.difference(waiting)):
            journal.repeat(cmd.CancelActivity(number))
        for number in sorted(waiting):
            record = self.earlier.get(number)
            if isinstance(record, ev.TimerCreated):
                journal.repeat(cmd.CreateTimer(number, record.fire_at))
            elif isinstance(record, ev.ActivityScheduled) and number in stopped:
                journal.repeat(cmd.ScheduleActivity(number, record.name, record.input, record.retry))


def just_rewound(events: Sequence[Event]) -> bool:
    """Whether a rewind was the last thing that happened from outside."""
    for event in reversed(events):
        if isinstance(event, (ev.ExecutionRewound, ev.TurnStarted)):
            return isinstance(event, ev.ExecutionRewound)
    return False


def regions(events: Sequence[Event]) -> Iterator[Region]:
    """The regions of a history, in order; most histories have none."""
    rewinds = [position for position, event in enumerate(events) if type(event) is ev.ExecutionRewound]
    if not rewinds:
        return
    void: set[int] = set()
    spans: list[tuple[int, int]] = []
    for last in rewinds:
        failures = _voided(events, last)
        void.update(failures)
        # From the turn that ended the execution, at the latest: some of the failures may have come after its end.
        first = min((*failures, _last_turn(events, last)))
        # A failure from before an earlier rewind: the two regions are one.
        while spans and first <= spans[-1][1]:
            first = min(first, spans.pop()[0])
        spans.append((first, last))
    for first, last in spans:
        yield _region(events, first, last, void)


def _region(events: Sequence[Event], first: int, last: int, void: set[int]) -> Region:
    past = events[: last + 1]
    records: list[Record] = [event for event in past if type(event) in RECORDS]  # type: ignore[misc]
    return Region(
        first=first,
        last=last,
        inputs=[
            event
            for position, event in enumerate(past[first:last], first)
            if position not in void
            and type(event) not in RECORDS
            and not isinstance(event, (*_ENDINGS, ev.ExecutionRewound))
        ],
        unclaimed=[event for event in past[first:] if type(event) in RECORDS],  # type: ignore[misc]
        earlier={record.task_id: record for record in records if isinstance(record, _REPEATABLE)},
        highest=max((record.task_id for record in records), default=0),
        rewound=frozenset(_rewound(events, last).task_ids),
        droppable=_droppable(events, last),
    )


_REPEATABLE = (ev.ActivityScheduled, ev.TimerCreated)


def _voided(events: Sequence[Event], rewind: int) -> list[int]:
    """The position of the last failure of each of the rewound tasks."""
    rewound = _rewound(events, rewind)
    found: dict[int, int] = {}
    for position in range(rewind - 1, -1, -1):
        event = events[position]
        if isinstance(event, _FAILURES) and event.task_id in rewound.task_ids:
            found.setdefault(event.task_id, position)
    return list(found.values())


def _rewound(events: Sequence[Event], rewind: int) -> ev.ExecutionRewound:
    event = events[rewind]
    assert isinstance(event, ev.ExecutionRewound)
    return event


def _droppable(events: Sequence[Event], rewind: int) -> frozenset[int]:
    """The activities among the rewound tasks that the code may give up at the rewind.

    Where history went on it records which those were; an older one, which does not, never dropped any.
    """
    end = next((n for n in range(rewind + 1, len(events)) if isinstance(events[n], ev.TurnStarted)), None)
    kind = ev.ActivityScheduled if end is None else ev.ActivityCanceled
    among = events[:rewind] if end is None else events[rewind:end]
    return frozenset(_rewound(events, rewind).task_ids).intersection(
        event.task_id for event in among if isinstance(event, kind)
    )


def _last_turn(events: Sequence[Event], rewind: int) -> int:
    """Where the turn began that ended the execution: what to read again if no task's failure is to blame."""
    ended = next((n for n in range(rewind, -1, -1) if isinstance(events[n], _ENDINGS)), rewind)
    return next((n for n in range(ended, -1, -1) if isinstance(events[n], ev.TurnStarted)), 0)


def _same(command: Command, record: Record) -> bool:
    if not agree(command, record):
        return False
    match command, record:
        case cmd.ScheduleActivity(), ev.ActivityScheduled():
            return command.input == record.input
        case cmd.ScheduleChild(), ev.ChildScheduled():
            return command.input == record.input and command.detached == record.detached
        case cmd.CreateTimer(), ev.TimerCreated():
            return command.fire_at == record.fire_at
        case cmd.SendEvent(), ev.EventSent():
            return command.payload == record.payload
    return command.task_id == record.task_id
