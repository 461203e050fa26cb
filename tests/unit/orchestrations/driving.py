"""Drives one execution by hand: start it, feed it events, look at what it wants."""

from __future__ import annotations

import json
from typing import Any

from durable_ray.orchestrations.engine.commands import Command, Decision, Raised, Returned
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.values.failures import FailureDetails
from tests.laws.world import START, JsonCodec


class Driven:
    """An execution that has started, with what it decided last."""

    def __init__(self, orchestrator: Any, value: Any = None, *before: Event, codec: Any = None, **started: Any) -> None:
        self.execution = Execution("i", orchestrator, codec or JsonCodec())
        self.at = START
        payload = None if value is None else json.dumps(value)
        self.decision = Decision()
        self.feed(*before, ev.ExecutionStarted("test", "e1", payload, **started))

    def feed(self, *events: Event, after: float = 1) -> Driven:
        """One turn, `after` seconds after the last."""
        self.at += round(after * 1_000_000)
        self.decision = self.execution.advance([ev.TurnStarted(self.at), *events])
        return self

    def complete(self, number: int, value: Any = None) -> Driven:
        return self.feed(ev.ActivityCompleted(number, json.dumps(value)))

    def fail(self, number: int, message: str = "no") -> Driven:
        return self.feed(ev.ActivityFailed(number, failure(message)))

    def fire(self, number: int, after: float = 1) -> Driven:
        return self.feed(ev.TimerFired(number), after=after)

    def event(self, name: str, value: Any = None, **more: Any) -> Driven:
        return self.feed(raised(name, value, **more))

    @property
    def commands(self) -> tuple[Command, ...]:
        return self.decision.commands

    @property
    def result(self) -> Any:
        """What it returned; fails if it did not."""
        assert isinstance(self.decision.outcome, Returned), self.decision
        return None if self.decision.outcome.result is None else json.loads(self.decision.outcome.result)

    @property
    def error(self) -> FailureDetails:
        """How it failed; fails if it did not."""
        assert isinstance(self.decision.outcome, Raised), self.decision
        return self.decision.outcome.failure


def failure(message: str = "no") -> FailureDetails:
    return FailureDetails("builtins.ValueError", message, bases=("builtins.ValueError",))


def raised(name: str, value: Any = None, **more: Any) -> ev.EventRaised:
    return ev.EventRaised(name, json.dumps(value), **more)
