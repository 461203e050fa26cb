"""What an execution has asked for and not yet got: every open call, timer and wait, by number.

Between the context, through which code asks, and the execution, which brings the answers out of history.
While an execution is put away (`loop.inert`) asking still works, does nothing, and is never answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.engine.handles import TimerHandle
from durable_ray.orchestrations.engine.journal import REMEDY, Journal
from durable_ray.orchestrations.engine.loop import DeterministicLoop
from durable_ray.orchestrations.engine.signals import Signals
from durable_ray.orchestrations.engine.tasks import (
    ActivityTask,
    ChildTask,
    DurableTask,
    EventTask,
    InertTask,
    TimerTask,
)
from durable_ray.orchestrations.engine.unhandled import Failures
from durable_ray.orchestrations.history.events import EventRaised, ExecutionStarted, Payload
from durable_ray.orchestrations.values.failures import (
    ActivityFailed,
    FailureDetails,
    NonDeterminismError,
    SubOrchestrationFailed,
)
from durable_ray.orchestrations.values.payloads import PayloadNotSerializable
from durable_ray.orchestrations.values.unawaited import unawaited

#: Stands for "nothing was given" where None is something.
UNSET: Any = type("Unset", (), {"__repr__": lambda self: "<unset>", "__slots__": ()})()


class PayloadCodec(Protocol):
    """Values to payloads and back."""

    def encode(self, value: object) -> Payload:
        """`value` as a payload; raises if it cannot be serialized."""

    def decode(self, payload: Payload | None, hint: object = None) -> object:
        """The value, as a `hint` if one is given."""


class Work:
    """The open work of one execution.

    Attributes:
        started: the first event of the execution, once it was read.
        replaying: whether what runs now has run before.
        custom_status: what code last set, encoded.
        continued: input and save_events, once code asked to continue as new.
    """

    __slots__ = (
        "codec",
        "continued",
        "custom_status",
        "failures",
        "instance_id",
        "journal",
        "loop",
        "open",
        "replaying",
        "signals",
        "started",
    )

    def __init__(self, instance_id: str, codec: PayloadCodec, on_error: Callable[[dict[str, Any]], None]) -> None:
        self.instance_id = instance_id
        self.codec = codec
        self.journal = Journal()
        self.loop = DeterministicLoop(self, instance_id, on_error)  # type: ignore[abstract]
        self.open: dict[int, DurableTask | TimerHandle] = {}
        self.signals: Signals | None = None
        self.failures = Failures()
        self.started: ExecutionStarted | None = None
        self.replaying = False
        self.custom_status: Payload | None = None
        self.continued: tuple[Payload | None, bool] | None = None

    # --- what code asks for ---

    def encode(self, value: object) -> Payload:
        """The payload of a value that code gives away. Raises for what is no value yet."""
        if (forgotten := unawaited(value)) is not None:
            raise PayloadNotSerializable(f"an orchestrator gives away values: {forgotten}")
        return self.codec.encode(value)

    def call_activity(self, name: str, value: object, retry: RetryPolicy | None, hint: object) -> asyncio.Future[Any]:
        """Schedule an activity."""
        if self.loop.inert:
            return InertTask(loop=self.loop)
        journal = self.journal
        payload = journal.payload(self.encode, value)
        number = journal.emit(cmd.ScheduleActivity(journal.next_id, name, payload, retry))
        task = self.open[number] = ActivityTask(self, self.loop, number, name, hint)
        return task

    def call_child(
        self,
        name: str,
        value: object,
        instance_id: str | None,
        version: str | None,
        retry: RetryPolicy | None,
        hint: object,
    ) -> asyncio.Future[Any]:
        """Schedule a sub-orchestration."""
        if self.loop.inert:
            return InertTask(loop=self.loop)
        number = self._emit_child(name, value, instance_id, version, retry, detached=False)
        task = self.open[number] = ChildTask(self, self.loop, number, name, hint)
        return task

    def start_detached(self, name: str, value: object, instance_id: str | None, version: str | None) -> int:
        """Schedule a sub-orchestration that never reports back; answers its number."""
        if self.loop.inert:
            return self.journal.next_id
        return self._emit_child(name, value, instance_id, version, None, detached=True)

    def _emit_child(
        self,
        name: str,
        value: object,
        instance_id: str | None,
        version: str | None,
        retry: RetryPolicy | None,
        *,
        detached: bool,
    ) -> int:
        journal = self.journal
        payload = journal.payload(self.encode, value)
        return journal.emit(cmd.ScheduleChild(journal.next_id, name, payload, instance_id, version, retry, detached))

    def create_timer(self, fire_at: int) -> asyncio.Future[Any]:
        """Arm a durable timer."""
        if self.loop.inert:
            return InertTask(loop=self.loop)
        number = self.journal.emit(cmd.CreateTimer(self.journal.next_id, fire_at))
        task = self.open[number] = TimerTask(self, self.loop, number, "timer")
        return task

    def send_event(self, instance_id: str, name: str, value: object) -> None:
        """Send an event to another instance."""
        if not self.loop.inert:
            payload = self.journal.payload(self.encode, value)
            self.journal.emit(cmd.SendEvent(self.journal.next_id, instance_id, name, payload))

    def wait_for_event(self, name: str, timeout: int | None, default: object, hint: object) -> asyncio.Future[Any]:
        """Wait for the next event of that name, at most for `timeout` µs."""
        if self.loop.inert:
            return InertTask(loop=self.loop)
        task = EventTask(self, self.loop, 0, name, hint)
        if self.signals is None:
            self.signals = Signals()
        event = self.signals.take(name)
        if event is not None:
            self._answer(task, event.payload)
            return task
        task.since, task.timer = self.loop.now, None
        self.signals.wait(task)
        if timeout is not None:
            task.timer = self.loop.call_later(timeout / 1_000_000, self._time_out, task, default)
        return task

    def _time_out(self, task: EventTask, default: object) -> None:
        task.timer = None
        if task.done():
            return
        assert self.signals is not None
        self.signals.forget(task)
        if default is UNSET:
            task.set_exception(TimeoutError(f"no event {task.name!r} arrived in time"))
        else:
            task.set_result(default)

    # --- what code no longer wants ---

    def cancelled(self, task: DurableTask) -> None:
        """`task` was cancelled by code."""
        if self.loop.inert:
            return
        if isinstance(task, EventTask):
            if self.signals is not None:
                self.signals.forget(task)
            self._stop_timer(task)
            return
        del self.open[task.task_id]
        if not isinstance(task, TimerTask):
            self.failures.gave_up(task.task_id, self.journal.event)
        if isinstance(task, ActivityTask):
            self.journal.retract(cmd.CancelActivity(task.task_id))
        elif isinstance(task, TimerTask):
            self.journal.retract(cmd.CancelTimer(task.task_id))

    def arm(self, fire_at: int, handle: TimerHandle) -> int:
        """A durable timer for the loop."""
        number = self.journal.emit(cmd.CreateTimer(self.journal.next_id, fire_at))
        self.open[number] = handle
        return number

    def disarm(self, number: int) -> None:
        """That timer of the loop is no longer wanted."""
        if not self.loop.inert and self.open.pop(number, None) is not None:
            self.journal.retract(cmd.CancelTimer(number))

    # --- what history brings ---

    def complete(self, number: int, result: Payload | None) -> None:
        """The activity or sub-orchestration of that number returned."""
        task = self._closing(number)
        if isinstance(task, DurableTask):
            self._answer(task, result)
        else:
            self.failures.answered(number)

    def fail(self, number: int, failure: FailureDetails) -> None:
        """The activity or sub-orchestration of that number failed for good."""
        task = self._closing(number)
        self.failures.came(number, self.journal.event)
        if isinstance(task, ActivityTask):
            message = f"Activity '{task.name}' (#{number}) failed: {failure}"
            task.set_exception(ActivityFailed(message, failure, number))
        elif isinstance(task, ChildTask):
            message = f"Sub-orchestration '{task.name}' (#{number}) failed: {failure}"
            task.set_exception(SubOrchestrationFailed(message, failure, number))

    def fire(self, number: int) -> None:
        """The timer of that number came due."""
        timer = self._closing(number)
        if isinstance(timer, TimerHandle):
            self.loop.fire(timer)
        elif timer is not None:
            timer.set_result(None)

    def raise_event(self, event: EventRaised) -> None:
        """An external event arrived."""
        if self.signals is None:
            self.signals = Signals()
        task = self.signals.arrive(event)
        if task is not None:
            self._stop_timer(task)
            self._answer(task, event.payload)

    def _closing(self, number: int) -> DurableTask | TimerHandle | None:
        """The open work of that number, which now ends; None if code gave it up."""
        work = self.open.pop(number, None)
        if work is None and number >= self.journal.next_id:
            raise NonDeterminismError(
                f"history brings at event #{self.journal.event} the result of #{number}, which the code "
                f"running now never asked for.{REMEDY}"
            )
        return work

    def _answer(self, task: DurableTask, payload: Payload | None) -> None:
        try:
            task.set_result(None if payload is None else self.codec.decode(payload, task.hint))
        except BaseException as error:  # how a value is read may be user code
            task.set_exception(error)

    def _stop_timer(self, task: EventTask) -> None:
        timer = getattr(task, "timer", None)
        if timer is not None:
            task.timer = None
            timer.cancel()
