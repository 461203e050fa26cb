"""A host's client of one worker: attempts sent and unanswered, code it has, acknowledgements to send.

A call brings the results of what it carried, unless that takes its time: then a second one is under way that brings whatever
comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Sequence
from typing import Protocol

from durable_ray.actors.activities.dispatcher import Job
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation, OnResult
from durable_ray.actors.activities.sigterm import ProcessEnds
from durable_ray.actors.activities.worker import KEEP_CODE, CodeMissing
from durable_ray.actors.store.background import TaskSet
from durable_ray.actors.store.records import DefinitionRow

log = logging.getLogger("durable_ray.activities")

#: Seconds after which acknowledgements travel by themselves, if no call took them along.
_ACK_DELAY = 1.0
#: Seconds after which a call is slow: what it carried with a slow activity is fetched by another.
_SLOW = 0.02
#: Calls of a worker under way at once, the slow ones not counted: what comes meanwhile goes together, in the next.
_CALLS = 2
#: With these a call is refused by a worker that has run nothing of it, or nothing that counts.
_NOT_RUN = (CodeMissing, ProcessEnds)


#: Seconds for which a worker is taken to have the code that it used; it keeps it for longer.
_KNOWN = KEEP_CODE / 2


class WorkerGone(Exception):
    """The worker's process died (or left). What it held is lost.

    `ran`: whether it may have died of what was sent with this call. A worker that had left before, or went with its node, did
    not.
    """

    def __init__(self, why: str, *, ran: bool = True) -> None:
        super().__init__(why)
        self.ran = ran


class WorkerEnds(WorkerGone):
    """The worker's process is terminating: no attempt that was sent to it is the cause."""

    def __init__(self, why: str) -> None:
        super().__init__(why, ran=False)


class WorkerLink(Protocol):
    """A worker, as a host reaches it. Every method raises WorkerGone if its process is not there any more."""

    name: str

    def run(
        self, host: str, jobs: Sequence[Invocation], code: Sequence[DefinitionRow], acks: Collection[Address]
    ) -> Awaitable[Sequence[tuple[Address, ActivityResult]]]:
        """See `ActivityWorker.run`."""

    def collect(self, host: str, acks: Collection[Address]) -> Awaitable[Sequence[tuple[Address, ActivityResult]]]:
        """See `ActivityWorker.collect`."""

    def held(self, host: str) -> Awaitable[Sequence[Address]]:
        """See `ActivityWorker.held`."""

    def forget(self, host: str, acks: Collection[Address]) -> None:
        """See `ActivityWorker.forget`. One-way."""

    def cancel(self, host: str, address: Address) -> None:
        """See `ActivityWorker.cancel`. One-way."""

    def close(self) -> None:
        """It is not used any more."""


class WorkerPoolPort(Protocol):
    """What a client needs of its pool."""

    host: str
    on_result: OnResult
    tasks: TaskSet

    def kept(self, address: Address, client: WorkerClient) -> None:
        """A result has come, which the worker of `client` keeps until it is acknowledged."""

    def lost(self, client: WorkerClient, why: str, ran: bool = True) -> None:
        """Its worker died."""


class WorkerClient:
    """A host's client of one worker."""

    def __init__(self, pool: WorkerPoolPort, link: WorkerLink) -> None:
        self.link = link
        #: Workers of one node are named alike.
        self.place = link.name.rpartition("-")[0]
        self.running: dict[Address, Job] = {}
        self._pool = pool
        self._outbox: list[Job] = []
        #: When code was last sent or used there; the least recently used first.
        self._known: dict[tuple[str, str], float] = {}
        self._acks: set[Address] = set()
        #: When the calls under way that carried jobs were made, oldest first.
        self._sent: dict[int, float] = {}
        self._number = 0
        self._collecting = False
        self._poll_timer: asyncio.TimerHandle | None = None
        self._ack_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def load(self) -> int:
        """How much is waiting for this worker."""
        return len(self.running)

    def send(self, job: Job) -> None:
        """Queue a job; all of one step of the loop go in one call, and all that come while the worker is behind."""
        self.running[job.invocation.address] = job
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(job)

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """Take these along with the next call."""
        self._acks.update(addresses)
        if self._ack_timer is None:
            self._ack_timer = self._loop.call_later(_ACK_DELAY, self._ack_now)

    def _ack_now(self) -> None:
        self._ack_timer = None
        if self._acks:
            self.link.forget(self._pool.host, self._take_acks())

    def _take_acks(self) -> list[Address]:
        acks, self._acks = list(self._acks), set()
        return acks

    def _flush(self) -> None:
        if len(self._sent) >= _CALLS and self._quick() >= _CALLS:
            return
        # Those that a lost worker was to run have gone elsewhere by now.
        jobs, self._outbox = [job for job in self._outbox if job.invocation.address in self.running], []
        if not jobs:
            return
        self._number += 1
        self._sent[self._number] = self._loop.time()
        if self._poll_timer is None:
            self._poll_timer = self._loop.call_later(_SLOW, self._poll)
        invocations = [job.invocation for job in jobs]
        call = self.link.run(self._pool.host, invocations, self._missing_code(jobs), self._take_acks())
        self._pool.tasks.spawn(self._await_call(call, self._number))

    def _quick(self) -> int:
        since = self._loop.time() - _SLOW
        return sum(sent > since for sent in self._sent.values())

    def _missing_code(self, jobs: Sequence[Job]) -> list[DefinitionRow]:
        """The code of these jobs that the worker may lack."""
        code: dict[tuple[str, str], DefinitionRow] = {}
        now = self._loop.time()
        for job in jobs:
            key = (job.row.name, job.row.code_id)
            if now - self._known.pop(key, -_KNOWN) >= _KNOWN:
                code[key] = job.row
            self._known[key] = now
        while now - self._known[oldest := next(iter(self._known))] >= _KNOWN:
            del self._known[oldest]
        return list(code.values())

    def _poll(self) -> None:
        """Fetch results of long attempts by a call of their own; send what was queued behind them."""
        self._poll_timer = None
        if not self.running:
            return
        if self._quick() < len(self._sent) or not self._sent:
            self._collect()
        if self._outbox:
            self._flush()
        self._poll_timer = self._loop.call_later(_SLOW, self._poll)

    def _collect(self) -> None:
        if not self._collecting:
            self._collecting = True
            call = self.link.collect(self._pool.host, self._take_acks())
            self._pool.tasks.spawn(self._await_call(call))

    async def _await_call(self, call: Awaitable[Sequence[tuple[Address, ActivityResult]]], number: int = 0) -> None:
        try:
            results = await call
        except Exception as error:
            ran = error.ran if isinstance(error, WorkerGone) else not isinstance(error, _NOT_RUN)
            if not isinstance(error, (WorkerGone, *_NOT_RUN)):
                # Whatever it is, waiting brings no answer for the jobs of this call.
                log.exception("a call of worker %s failed", self.link.name)
            self._answered(number)
            self._pool.lost(self, str(error), ran)
            return
        self._answered(number)
        for address, result in results:
            self.running.pop(address, None)
            self._pool.kept(address, self)
            self._pool.on_result(address, result)
        if not (results or number or self._sent):
            # Nothing for long: to ask again for what it runs does not run it again, unless it has forgotten.
            self._outbox.extend(self.running.values())
        elif self._outbox:
            self._flush()

    def _answered(self, number: int) -> None:
        if number:
            self._sent.pop(number, None)
        else:
            self._collecting = False
