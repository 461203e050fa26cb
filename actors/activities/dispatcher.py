"""The activity dispatcher: gives each attempt to the executor that its definition declares, with timeouts and crash limits.

An attempt of an activity with a limit begins when the limiter has got its permit; all others pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from durable_ray.actors.activities.limiter import ActivityLimiter
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation, OnResult
from durable_ray.actors.activities.runner import failed
from durable_ray.actors.clock import SECOND, Alarm, Clock
from durable_ray.actors.code.definition_cache import DefinitionCache, DefinitionMissing
from durable_ray.actors.code.described import KnownActivity
from durable_ray.actors.store.background import TaskSet
from durable_ray.actors.store.measures import Measures
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.history.events import ActivityCompleted

log = logging.getLogger("durable_ray.activities")
#: Traces the steps of instances; see `instances.instance_log`.
trace_log = logging.getLogger("durable_ray.instances")

#: How often the process of one attempt may die before the attempt counts as failed: an activity that kills its worker
#: every time would otherwise run for ever.
MAX_CRASHES = 4
_CRASHED = "durable_ray.WorkerCrashed"
#: How often it may end for another reason (SIGTERM, a lost node) before that counts, too: an activity may be what makes its
#: process end.
MAX_MOVES = 16
#: After as many of those, further ones are spaced by pauses (µs) that double up to the longest: a process that refuses at once
#: must not use them all up within milliseconds, while another is being started. 16 take four minutes.
_UNSPACED_MOVES, _FIRST_PAUSE, _LONGEST_PAUSE = 3, SECOND // 2, 30 * SECOND


class Job(Struct, frozen=True):
    """An invocation with the code it runs and how it wants to be run."""

    invocation: Invocation
    row: DefinitionRow
    known: KnownActivity


class ActivityExecutor(Protocol):
    """Runs activities. Reports each job once, by the callbacks it was made with."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Run these. Returns at once."""

    def cancel(self, address: Address) -> None:
        """Stop it if it runs here."""

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """Their results are durable (or unwanted): they need not be kept."""

    async def adopt(self) -> None:
        """Find attempts that survived the host's previous process, so that submitting them again does not run them twice."""

    async def close(self) -> None:
        """Stop what runs in this process."""


class Crashed(Protocol):
    """Called when the process of an attempt ended. `counted`: whether the attempt may be the cause."""

    def __call__(self, job: Job, why: str, counted: bool = True) -> None: ...


#: Makes an executor, given how to report a result and how to report that an attempt's process ended.
MakeExecutor = Callable[[OnResult, Crashed], ActivityExecutor]


class Dispatcher:
    """Runs the activities of a host. Every invocation submitted is answered in the end, or the host dies first."""

    def __init__(
        self,
        on_result: OnResult,
        definition_cache: DefinitionCache,
        clock: Clock,
        limiter: ActivityLimiter,
        executors: Mapping[str, MakeExecutor],
        measures: Measures | None = None,
    ) -> None:
        self._measures = measures or Measures(0)
        self._on_result = on_result
        self._limiter = limiter
        limiter.granted, limiter.submitted = self.submit, self._is_submitted
        self._definition_cache = definition_cache
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._jobs: dict[Address, Job | None] = {}
        self._crashes: dict[Address, int] = {}
        self._moves: dict[Address, int] = {}
        self._alarms: dict[Address, Alarm] = {}
        #: Attempts that pause before they are submitted again.
        self._pausing: dict[Address, Alarm] = {}
        #: Reported and not acknowledged: on their way into history, so not to be run again.
        self._reported: set[Address] = set()
        self._tasks = TaskSet()
        self._executors = {name: make(self._answered, self._crashed) for name, make in executors.items()}

    @property
    def idle(self) -> bool:
        """Whether nothing submitted is without an answer, and no permit has to be returned."""
        return not self._jobs and not self._limiter.busy

    @property
    def running(self) -> int:
        """Attempts that have no result yet."""
        return len(self._jobs)

    def submit(self, invocations: Sequence[Invocation]) -> None:
        """Run these, those of limited activities when their permits are granted. Returns at once."""
        ready: dict[str, list[Job]] = {}
        unknown: list[Invocation] = []
        for invocation in invocations:
            if self._jobs.get(invocation.address) is not None or invocation.address in self._reported:
                continue  # under way here already: an instance that was loaded anew or rewound asks for it again
            known = self._definition_cache.known_activity(invocation.name)
            if known is not None and not invocation.code_id:
                # Scheduled before this host knew the definition: the newest, as a retry would take.
                invocation = replace(invocation, code_id=known.row.code_id)
            packed = self._definition_cache.peek("activity", invocation.name, invocation.code_id)
            if known is None or packed is None:
                self._jobs[invocation.address] = None
                unknown.append(invocation)
            elif not self._limiter.admits(invocation, known):
                self._jobs.pop(invocation.address, None)
            else:
                job = Job(invocation, packed, known)
                self._note(job)
                if trace_log.isEnabledFor(logging.DEBUG):
                    at = invocation.address
                    trace_log.debug(
                        "dispatched: instance=%s execution=%s task=%d attempt=%d activity=%s executor=%s",
                        *(at.instance_id, at.execution_id, at.task_id, at.attempt),
                        *(invocation.name, self._executor_of(job)),
                    )
                ready.setdefault(self._executor_of(job), []).append(job)
        for name, jobs in ready.items():
            self._executors[name].submit(jobs)
        if unknown:
            self._tasks.spawn(self._look_up(unknown))

    def cancel(self, addresses: Collection[Address]) -> None:
        """Their results are unwanted: stop them if that is possible."""
        for address in addresses:
            if (job := self._forget(address)) is not None:
                self._count(job, "cancelled")
            for executor in self._executors.values():
                executor.cancel(address)

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """Their results are durable (or unwanted): they need not be kept."""
        self._reported.difference_update(addresses)
        for executor in self._executors.values():
            executor.acknowledge(addresses)

    async def adopt(self) -> None:
        """Find attempts that survived this host's previous process: submitting them again does not run them twice."""
        for executor in self._executors.values():
            await executor.adopt()

    async def close(self) -> None:
        """Stop what runs in this process. Permits stay with its successor."""
        self._limiter.close()
        for alarm in (*self._alarms.values(), *self._pausing.values()):
            alarm.cancel()
        self._tasks.cancel()
        for executor in self._executors.values():
            await executor.close()

    # --- inside -----------------------------------------------------------------------------------

    def _is_submitted(self, address: Address) -> bool:
        return address in self._jobs

    def _executor_of(self, job: Job) -> str:
        name = job.known.executor
        return name if name in self._executors else "local"

    def _note(self, job: Job) -> None:
        address = job.invocation.address
        self._jobs[address] = job
        timeout = job.known.options.timeout
        if timeout is not None:
            at = self._clock.now() + timeout
            self._alarms[address] = self._clock.call_at(at, lambda: self._check_timeout(job, at))

    def _check_timeout(self, job: Job, at: int) -> None:
        address = job.invocation.address
        if address not in self._jobs:
            return
        if self._clock.now() < at:
            self._alarms[address] = self._clock.call_at(at, lambda: self._check_timeout(job, at))
            return
        seconds = (job.known.options.timeout or 0) / SECOND
        for executor in self._executors.values():
            executor.cancel(address)
        late = failed(job.invocation, "builtins.TimeoutError", f"the activity did not return within {seconds:g} s")
        self._answered(address, late)

    async def _look_up(self, invocations: list[Invocation]) -> None:
        """Load code that is not in memory; an activity that is not deployed fails with UnknownDefinition."""
        found: list[Invocation] = []
        for invocation in invocations:
            try:
                await self._loop.run_in_executor(None, self._find, invocation)
                if invocation.address in self._jobs:  # it may have been cancelled meanwhile
                    found.append(invocation)
            except DefinitionMissing:
                why = self._definition_cache.unreadable.get(("activity", invocation.name))
                missing = f"no activity named {invocation.name!r} is deployed to this hub; deploy it"
                message = f"{why or missing}, then rewind"
                self._answered(
                    invocation.address,
                    failed(invocation, "durable_ray.UnknownDefinition", message, non_retryable=True),
                )
            except Exception as error:
                log.warning("looking up activity %r failed, retrying: %s", invocation.name, error)
                self._loop.call_later(1.0, self.submit, [invocation])
        if found:
            self.submit(found)

    def _find(self, invocation: Invocation) -> None:
        if self._definition_cache.known_activity(invocation.name) is None:
            self._definition_cache.refresh()
        if self._definition_cache.known_activity(invocation.name) is None:
            raise DefinitionMissing(invocation.name)
        code_id = invocation.code_id or self._definition_cache.activity(invocation.name)[0]
        self._definition_cache.packed("activity", invocation.name, code_id)

    def _answered(self, address: Address, result: ActivityResult) -> None:
        job = self._forget(address)
        if job is not None:
            self._count(job, _outcome(result))
            if result.began:
                seconds = max(self._clock.now() - result.began, 0) / SECOND
                self._measures.histogram("activity_seconds", self._executor_of(job)).observe(seconds)
        self._reported.add(address)
        self._on_result(address, result)

    def _crashed(self, job: Job, why: str, counted: bool = True) -> None:
        """The process of an attempt ended: run it again, until `MAX_CRASHES`."""
        address = job.invocation.address
        if address not in self._jobs:
            return
        pause = 0
        if not counted:
            moves = self._moves[address] = self._moves.get(address, 0) + 1
            pause = _pause_after(moves)
            counted = moves > MAX_MOVES
        crashes = self._crashes.get(address, 0) + counted
        if counted:
            self._crashes[address] = crashes
        if crashes >= MAX_CRASHES:
            message = f"the process running it died {crashes} times ({why})"
            self._answered(address, failed(job.invocation, _CRASHED, message))
            return
        log.info(
            "activity %r of instance %r is retried on another process: %s",
            job.invocation.name,
            address.instance_id,
            why,
        )
        if pause:
            at = self._clock.now() + pause
            self._pausing[address] = self._clock.call_at(at, lambda: self._resubmit(job))
        else:
            self._executors[self._executor_of(job)].submit([job])

    def _resubmit(self, job: Job) -> None:
        self._pausing.pop(job.invocation.address, None)
        self._executors[self._executor_of(job)].submit([job])

    def _count(self, job: Job, outcome: str) -> None:
        name = self._measures.name(job.invocation.name)
        self._measures.count("activity_attempts", name, self._executor_of(job), outcome)

    def _forget(self, address: Address) -> Job | None:
        job = self._jobs.pop(address, None)
        self._limiter.release(address)
        if self._pausing and (pausing := self._pausing.pop(address, None)) is not None:
            pausing.cancel()
        if self._crashes:
            self._crashes.pop(address, None)
        if self._moves:
            self._moves.pop(address, None)
        if self._alarms and (alarm := self._alarms.pop(address, None)) is not None:
            alarm.cancel()
        return job


def _outcome(result: ActivityResult) -> str:
    if isinstance(result, ActivityCompleted):
        return "completed"
    return "crashed" if result.failure.error_type == _CRASHED else "failed"


def _pause_after(moves: int) -> int:
    """How long (µs) an attempt waits after its process ended for the `moves`-th time for no fault of its own."""
    spaced = moves - _UNSPACED_MOVES
    return 0 if spaced <= 0 else min(_FIRST_PAUSE << (min(spaced, 32) - 1), _LONGEST_PAUSE)
