"""Replay of histories of any length: what it costs to bring an instance back, and whether a step's cost grows."""

from __future__ import annotations

import statistics
import time
from typing import Any

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.orchestrations.engine.commands import ScheduleActivity
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.history import events as ev


def history_of(orchestrator: Any, steps: int) -> list[ev.Event]:
    """The history that `steps` activities in sequence leave, made by running the code without a store."""
    execution = Execution("grown", orchestrator, PYTHON_PAYLOADS)
    new: list[ev.Event] = [ev.TurnStarted(0), ev.ExecutionStarted(orchestrator.name, "e1", str(steps))]
    history = [*new]
    for number in range(1, steps + 1):
        (command,) = execution.advance(new).commands
        assert isinstance(command, ScheduleActivity)
        new = [ev.TurnStarted(number), ev.ActivityCompleted(command.task_id, command.input)]
        history += [ev.ActivityScheduled(command.task_id, command.name, command.input), *new]
    assert execution.advance(new).outcome is not None
    execution.close()
    return history


def replayed(orchestrator: Any, instance_id: str, events: list[Any]) -> float:
    """Seconds to replay these events; raises NonDeterminismError if the code does not do what they say."""
    began = time.perf_counter()
    execution = Execution(instance_id, orchestrator, PYTHON_PAYLOADS)
    decision = execution.advance(events, replaying=True)
    took = time.perf_counter() - began
    execution.close()
    assert not decision.commands, decision.commands[:3]
    return took


def growth(orchestrator: Any, few: int, many: int) -> dict[str, float]:
    """Replay of few and of many steps, and how much more a step of the many costs. The best of five: others run too."""
    short, long = history_of(orchestrator, few), history_of(orchestrator, many)
    pairs = [(replayed(orchestrator, "grown", short), replayed(orchestrator, "grown", long)) for _ in range(5)]
    best_short, best_long = (min(times) for times in zip(*pairs, strict=True))
    return {
        f"replay of {few} ms": statistics.median(one for one, _ in pairs) * 1e3,
        f"replay of {many} ms": statistics.median(one for _, one in pairs) * 1e3,
        "step of the longer over step of the shorter": best_long / many / (best_short / few),
    }
