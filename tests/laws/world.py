"""A tiny pure runtime: an orchestrator, a seed, and everything that could happen to it, in an order the seed decides.

It uses the real `receive` and `settle`, keeps history in memory, and has no Ray, no store and no clock. Activities are
plain functions of their input; time jumps to the next timer when nothing else is left to happen.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.engine.commands import Decision, Outcome, Raised
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event, Message
from durable_ray.orchestrations.history.snapshot import Snapshot
from durable_ray.orchestrations.history.transition import Append, receive, settle
from durable_ray.orchestrations.values.failures import FailureDetails

START = 1_700_000_000_000_000
_STEP = 1_000_000


class JsonCodec:
    """Payloads are JSON, types are not looked at."""

    def encode(self, value: object) -> str:
        return json.dumps(value)

    def decode(self, payload: str | None, hint: object = None) -> object:
        return None if payload is None else json.loads(payload)


class Anything:
    """A resolver for a hub where everything is deployed."""

    unreadable: Mapping[tuple[str, str], str] = {}

    def activity(self, name: str) -> tuple[str, RetryPolicy | None]:
        return "", None

    def orchestrator(self, name: str, version: str | None) -> tuple[str, str] | None:
        return version or "", ""

    def pins(self, name: str, version: str) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class Shape:
    """An orchestrator with the world it lives in.

    `events` arrive in this order, at any time. `timeless`: how it ends does not depend on how long things take.
    """

    name: str
    orchestrator: Callable[..., Any]
    input: Any = None
    activities: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    events: tuple[tuple[str, Any], ...] = ()
    timeless: bool = True


@dataclass
class World:
    """One instance of `shape`, whose fate is `seed`.

    Args:
        most: how many happenings one turn may take in.
        evict: called before every turn; True throws the execution away, to be rebuilt by replay.
    """

    shape: Shape
    seed: int
    most: int = 1
    evict: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.snapshot = Snapshot("world")
        self.now = START
        #: One list a turn, as the store keeps them; only the current execution's.
        self.turns: list[list[Event]] = []
        self.executions: list[list[list[Event]]] = [self.turns]
        self.children: list[tuple[int, str, Any]] = []
        self.activities: list[int] = []
        self.events = list(self.shape.events)
        self.outcome: Outcome | None = None
        self.status: str | None = None
        self.execution: Execution | None = None

    @property
    def history(self) -> list[Event]:
        return [event for turn in self.turns for event in turn]

    def run(self, turns: int = 200) -> World:
        """Until it is finished, or `turns` turns have passed."""
        if not self.turns:
            start = ev.ExecutionStarted(self.shape.name, f"{self.seed:08x}", json.dumps(self.shape.input))
            self.turn([Message("start", start)])
        while not self.snapshot.finished and turns > 0:
            turns -= 1
            self.now += _STEP
            messages = [m for m in (self._happen() for _ in range(self.random.randint(1, self.most))) if m]
            if not messages and not self._jump():
                break
            self.turn(messages)
        if self.execution is not None:
            self.execution.close()
        return self

    def turn(self, messages: list[Message]) -> None:
        turn = receive(self.snapshot, messages, self.now, Anything())
        if not turn.events:
            return
        if self.execution is None or self.evict():
            self._rebuild()
        assert self.execution is not None
        decision = self.execution.advance(turn.events)
        self.turns.append(turn.events)
        self._settle(turn, decision)

    def rewind(self, activities: dict[str, Callable[[Any], Any]]) -> None:
        """Run again what failed, on other activities; call `run` after it."""
        assert isinstance(self.outcome, Raised)
        assert self.execution is not None
        self.shape = replace(self.shape, activities=activities)
        self.execution.close()
        turn = Append(self.now, [ev.TurnStarted(self.now), ev.ExecutionRewound("fixed", self.outcome.task_ids)])
        for event in turn.events:
            self.snapshot.apply(event)
        self.turns.append(turn.events)
        # What was under way when the execution failed is asked for again: its results were not taken.
        self.activities, self.children = list(self.snapshot.activities), []
        self.execution = Execution("world", self.shape.orchestrator, JsonCodec())
        self._settle(turn, self.execution.advance(self.history, replaying=True))

    def _settle(self, turn: Append, decision: Decision) -> None:
        self.outcome = decision.outcome
        self.status = decision.custom_status
        settle(self.snapshot, decision, turn, Anything())
        self._act(turn)

    def _rebuild(self) -> None:
        if self.execution is not None:
            self.execution.close()
        self.execution = Execution("world", self.shape.orchestrator, JsonCodec())
        self.execution.advance(self.history, replaying=True)

    def _act(self, turn: Append) -> None:
        self.activities = [n for n in self.activities if n not in turn.cancel] + turn.dispatch
        self.children += [(child.task_id, child.instance_id, child.input) for child in turn.children]
        if turn.successor is not None:
            self._succeed(turn.successor)

    def _succeed(self, events: list[Event]) -> None:
        assert self.execution is not None
        self.execution.close()
        self.snapshot, self.activities, self.children = Snapshot("world"), [], []
        for event in events:
            self.snapshot.apply(event)
        self.execution = Execution("world", self.shape.orchestrator, JsonCodec())
        turn = Append(self.now, list(events))
        self.turns = [turn.events]
        self.executions.append(self.turns)
        self._settle(turn, self.execution.advance(events))

    # --- what happens ---

    def _happen(self) -> Message | None:
        choices: list[Callable[[], Message]] = [self._finish_activity] * len(self.activities)
        choices += [self._finish_child] * len(self.children) + [self._raise_event] * bool(self.events)
        return self.random.choice(choices)() if choices else None

    def _jump(self) -> bool:
        due = self.snapshot.next_due()
        if due is not None:
            self.now = max(self.now, due)
        return due is not None

    def _finish_activity(self) -> Message:
        number = self.activities.pop(self.random.randrange(len(self.activities)))
        task = self.snapshot.activities.get(number)
        execution_id = self.snapshot.execution_id
        if task is None:
            return Message(f"late-{number}", ev.ActivityCompleted(number, "null"), execution_id)
        attempt = task.attempt
        try:
            function = self.shape.activities[task.scheduled.name]
            argument = None if task.scheduled.input is None else json.loads(task.scheduled.input)
            result = json.dumps(function(argument))
        except Exception as error:
            failed = ev.ActivityFailed(number, FailureDetails(type(error).__name__, str(error)), attempt)
            return Message(f"{number}.{attempt}", failed, execution_id)
        return Message(f"{number}.{attempt}", ev.ActivityCompleted(number, result, attempt), execution_id)

    def _finish_child(self) -> Message:
        number, instance_id, argument = self.children.pop(self.random.randrange(len(self.children)))
        done = ev.ChildCompleted(number, argument, instance_id)
        return Message(f"child-{number}", done, self.snapshot.execution_id)

    def _raise_event(self) -> Message:
        name, value = self.events.pop(0)
        message_id = f"event-{len(self.events)}"
        return Message(message_id, ev.EventRaised(name, json.dumps(value), message_id))
