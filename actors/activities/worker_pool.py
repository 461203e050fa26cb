"""The worker pool executor: the least busy of the hub's workers gets the next attempt; a dead worker's run elsewhere.

Which workers there are changes: nodes join and are lost, processes are restarted, exit when idle, or do not answer
for a while. A host discovers them when it has none, when one was lost, and when those it knows are busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from durable_ray.actors.activities.dispatcher import Crashed, Job
from durable_ray.actors.activities.ports import Address, OnResult
from durable_ray.actors.activities.worker_client import WorkerClient, WorkerGone, WorkerLink
from durable_ray.actors.store.background import TaskSet, next_pause

log = logging.getLogger("durable_ray.activities")

#: Seconds between two discoveries of further workers (a node joined, a process was restarted), and how many attempts must
#: wait for the least busy of the known ones.
_DISCOVERY_SECONDS, _BUSY = 5.0, 2
#: Seconds after which a lost worker is discovered again, for the first time; for the last it is `_DISCOVERY_SECONDS`.
_BACK = 1.0
#: Seconds between two searches while there are no workers: at first, and at most.
_NONE_YET = 0.1, 5.0
#: Seconds in which a worker must answer `held`; and for which known ones are waited for when one has answered.
_HELD_SECONDS, _REST_SECONDS = 10.0, 0.2

#: Finds (and, with True, makes) the hub's workers.
FindWorkers = Callable[[bool], Awaitable[Sequence[WorkerLink]]]


class WorkerPool:
    """Runs jobs on the least busy of the hub's workers."""

    def __init__(self, host: str, find: FindWorkers, on_result: OnResult, crashed: Crashed) -> None:
        self.host = host
        self.on_result = on_result
        self._find = find
        self._crashed = crashed
        self._clients: dict[str, WorkerClient] = {}
        self._where: dict[Address, WorkerClient] = {}
        self._waiting: dict[Address, Job] = {}
        self._finding = False
        #: When workers were last discovered beyond those that are known, and which have been asked and not answered.
        self._discovered_at = 0.0
        self._asked: set[str] = set()
        self._came = asyncio.Event()
        #: Of jobs whose worker was lost: where that was.
        self._lost_at: dict[Address, str] = {}
        self._later: asyncio.TimerHandle | None = None
        #: Workers that this host has worked with: what they still hold and it does not want runs, or ran, elsewhere.
        self._registered: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self.tasks = TaskSet()

    @property
    def clients(self) -> Mapping[str, WorkerClient]:
        """The workers that get jobs now, by name."""
        return self._clients

    def submit(self, jobs: Sequence[Job]) -> None:
        """Run these. Returns at once."""
        if not self._clients:
            self._waiting.update((job.invocation.address, job) for job in jobs)
            if not self._finding:
                self._finding = True
                self.tasks.spawn(self._find_first())
            return
        busy = False
        for job in jobs:
            # Where it runs already (for this host's predecessor) asking again only brings the result.
            client = self._where.get(job.invocation.address) or self._least_busy(job)
            self._where[job.invocation.address] = client
            client.send(job)
            busy = client.load > _BUSY
        if busy and self._loop.time() > self._discovered_at + _DISCOVERY_SECONDS:
            self._discover(True)

    def _least_busy(self, job: Job) -> WorkerClient:
        clients: Iterable[WorkerClient] = self._clients.values()
        if self._lost_at and (place := self._lost_at.get(job.invocation.address)) is not None:
            # Those beside a worker that was lost may be lost with it, which is not known yet.
            clients = [client for client in clients if client.place != place] or clients
        return min(clients, key=lambda client: client.load)

    def cancel(self, address: Address) -> None:
        """Raise the activity's flag."""
        self._waiting.pop(address, None)
        client = self._where.get(address)
        if client is not None and address in client.running:
            client.link.cancel(self.host, address)

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """Let the workers forget these results."""
        by_client: dict[WorkerClient, list[Address]] = {}
        for address in addresses:
            if self._lost_at:
                self._lost_at.pop(address, None)
            client = self._where.pop(address, None)
            if client is not None:
                by_client.setdefault(client, []).append(address)
        for client, mine in by_client.items():
            client.acknowledge(mine)

    async def adopt(self) -> None:
        """Ask the running workers what they hold for this host."""
        await self._add_all(await self._find(False), _HELD_SECONDS)

    async def close(self) -> None:
        """Stop waiting for results."""
        if self._later is not None:
            self._later.cancel()
        self.tasks.cancel()

    def kept(self, address: Address, client: WorkerClient) -> None:
        """A result has come, which the worker of `client` keeps until it is acknowledged: also one that came too late, or from
        a worker that was given up."""
        self._where[address] = client
        self._waiting.pop(address, None)

    def lost(self, client: WorkerClient, why: str, ran: bool = True) -> None:
        """A worker died: what it was running runs again, elsewhere. That counts as a crash only if `ran`."""
        running, client.running = client.running, {}
        self._lost_at.update(dict.fromkeys(running, client.place))
        for address in running:
            self._where.pop(address, None)
        if self._clients.get(client.link.name) is client:
            del self._clients[client.link.name]
            client.link.close()
            # Ray restarts it; or it exited because it was idle, and then no other has to be made.
            self._discover_later(_BACK)
        for address, job in running.items():
            if ran:
                self._crashed(job, f"worker {client.link.name} died: {why}")
            else:
                self._crashed(job, f"worker {client.link.name} was gone: {why}", False)
            if address not in self._where and address not in self._waiting:
                self._lost_at.pop(address, None)  # it is unwanted by now

    async def _find_first(self) -> None:
        pause = 0.0
        links: Sequence[WorkerLink] = ()
        while not self._clients:
            try:
                links = await self._find(True)
            except Exception as error:
                log.warning("no activity workers yet: %s", error)
            # What one that this host does not know yet runs for its predecessor must not be given to another.
            known = all(link.name in self._registered for link in links)
            await self._add_all(links, _REST_SECONDS if known else _HELD_SECONDS)
            if not self._clients:
                self._came.clear()
                pause = next_pause(pause, *_NONE_YET)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), pause)
        self._finding = False
        waiting, self._waiting = self._waiting, {}
        self.submit(list(waiting.values()))
        if any(link.name not in self._clients for link in links):
            self._discover_later(_BACK)

    def _discover(self, create: bool, pause: float = _BACK) -> None:
        """Workers may have come that this host does not know: a node has joined, a process has been restarted."""
        if self._clients:
            self._discovered_at = self._loop.time()
            self.tasks.spawn(self._find_more(create, pause))

    def _discover_later(self, pause: float) -> None:
        if self._later is not None:
            if self._later.when() <= self._loop.time() + pause:
                return
            self._later.cancel()
        self._later = self._loop.call_later(pause, self._discover_again, pause)

    def _discover_again(self, pause: float) -> None:
        self._later = None
        self._discover(False, pause)

    async def _find_more(self, create: bool, pause: float) -> None:
        try:
            links = await self._find(create)
        except Exception as error:
            log.warning("discovering activity workers failed: %s", error)
            return
        await self._add_all(links, _HELD_SECONDS)
        if any(link.name not in self._clients for link in links) and pause < _DISCOVERY_SECONDS:
            self._discover_later(2 * pause)  # it is being restarted

    async def _add_all(self, links: Sequence[WorkerLink], rest: float) -> None:
        """Concurrently, in bounded time: one that does not answer must not keep the others from being used.

        `rest`: seconds for which the others are waited for when the first has answered.
        """
        tasks = [self.tasks.spawn(self._add(link)) for link in links]
        if tasks:
            _, silent = await asyncio.wait(tasks, timeout=_HELD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if silent:
                await asyncio.wait(silent, timeout=rest)

    async def _add(self, link: WorkerLink) -> None:
        """Send jobs to this worker from now on. What it holds for the host's previous process is fetched there."""
        # Only once: a call of `held` marks a new process of the host, and makes earlier calls another's.
        if link.name in self._clients or link.name in self._asked:
            return
        self._asked.add(link.name)
        try:
            # One that is being restarted would lose the first job it is given: it is waited for.
            held = await link.held(self.host)
        except WorkerGone:
            return
        except Exception:
            log.exception("worker %s cannot be used", link.name)
            return
        finally:
            self._asked.discard(link.name)
        client = self._clients[link.name] = WorkerClient(self, link)
        self._came.set()
        # Of one that this host has worked with, what is not waited for runs, or ran, elsewhere.
        wanted = self._waiting if link.name in self._registered else held
        self._registered.add(link.name)
        self._where.update((address, client) for address in held if address in wanted and address not in self._where)
        if elsewhere := [address for address in held if self._runs_elsewhere(address, client)]:
            link.forget(self.host, elsewhere)

    def _runs_elsewhere(self, address: Address, client: WorkerClient) -> bool:
        """Or ran there, and is over. Not what was handed over from here and has still to be committed."""
        where = self._where.get(address)
        return where is None or (where is not client and address in where.running)
