"""Whether code repeats a history: the question of audits, of checks before a deployment, and of tests. Pure.

A replay that raises nothing may still differ at its end: history waits there, and the code has returned, or asks for something
that no event records. A host would go on from that; it is told apart, for the code that wrote the history does not do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from durable_ray.orchestrations.engine.commands import Outcome, Raised
from durable_ray.orchestrations.engine.journal import RECORDS, REMEDY, describe
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.engine.work import PayloadCodec
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.values.failures import NonDeterminismError


class ReplayOutcome(Struct, frozen=True):
    """What came of replaying a history on some code.

    Attributes:
        mismatch: where the code does not do what history records, and what it does instead; "" if it repeats all of it.
        event: the number of that event, the first being 1, as in the sentence; None without a mismatch.
        beyond: what the code does at the end of history that history does not record; "" for nothing.
    """

    mismatch: str = ""
    event: int | None = None
    beyond: str = ""

    @property
    def same(self) -> bool:
        """Whether the code does what history records, and nothing else."""
        return not (self.mismatch or self.beyond)


def replay_outcome(instance_id: str, orchestrator: Any, codec: PayloadCodec, history: Sequence[Event]) -> ReplayOutcome:
    """Run `orchestrator` over a whole history. No error of the user's code is raised.

    Args:
        orchestrator: a definition, or a function as `orchestrator` decorates it.
        codec: how payloads become values.

    Example:
        >>> from durable_ray.orchestrations.values.payloads import decode, encode
        >>> class Json:
        ...     encode, decode = staticmethod(encode), staticmethod(decode)
        >>> async def quick(ctx):
        ...     return 1
        >>> waits = [ev.TurnStarted(0), ev.ExecutionStarted("quick", "e1"), ev.TimerCreated(1, 10)]
        >>> replay_outcome("i", quick, Json, waits).event
        3
    """
    execution = Execution(instance_id, orchestrator, codec)
    try:
        decision = execution.advance(history, replaying=True)
    except NonDeterminismError as error:
        return ReplayOutcome(str(error).removesuffix(REMEDY) + _raised(execution.outcome), execution.position)
    except BaseException as error:  # of the user's code, which must not end an audit of thousands
        return ReplayOutcome(f"replaying it raises {type(error).__name__}: {error}", execution.position)
    finally:
        execution.close()
    if _unsettled(history):
        return ReplayOutcome()
    if decision.commands:
        return ReplayOutcome(beyond=f"the code {describe(decision.commands[0])}, where history waits")
    if decision.outcome is not None and not isinstance(history[-1] if history else None, _ENDINGS):
        return ReplayOutcome(beyond=f"the code {type(decision.outcome).__name__.lower()}, where history waits")
    return ReplayOutcome()


def _raised(outcome: Outcome | None) -> str:
    """Why code that raised did nothing of what history records."""
    if not isinstance(outcome, Raised):
        return ""
    return f" It had raised {outcome.failure.error_type}: {outcome.failure.message}"


_ENDINGS = (ev.ExecutionCompleted, ev.ExecutionFailed, ev.ExecutionTerminated, ev.ContinuedAsNew)


def _unsettled(history: Sequence[Event]) -> bool:
    """Whether its last turn waits for the code: after continue-as-new, and after a rewind."""
    last = max((at for at, event in enumerate(history) if isinstance(event, ev.TurnStarted)), default=0)
    turn = history[last:]
    if any(type(event) in RECORDS or isinstance(event, _ENDINGS) for event in turn):
        return False
    return any(
        isinstance(event, ev.ExecutionRewound) or (isinstance(event, ev.ExecutionStarted) and event.generation > 0)
        for event in turn
    )
