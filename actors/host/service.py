"""The request handlers of a host: start, deliver, wait. They answer after the commit; a retry gets the first answer.

Requests come in batches, because a call with fifty requests costs hardly more than a call with one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from durable_ray.actors.clock import SECOND
from durable_ray.actors.host.host import InstanceHost
from durable_ray.actors.host.replay_check import check_replay
from durable_ray.actors.host.turns import receipt_reply, receipt_text
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.instances.starting import (
    Start,
    begin,
    make_rows,
    new_starts,
    pausing,
    start_writes,
    stored_delivery,
    take_answers,
)
from durable_ray.actors.instances.waiters import begun, ending_of
from durable_ray.actors.messages import Delivery, Ending, Reply, StartRequest, started_anew
from durable_ray.actors.store.contract import Fenced, StoreError
from durable_ray.actors.store.records import InstanceRow, Receipt
from durable_ray.actors.store.writes import Absent, Answer, Delivered, Finished, Refused, Repeated, StartInstance
from durable_ray.orchestrations.history import events as ev

#: Seconds for which one call waits at most. Callers renew longer waits, so that calls do not pile up on an actor that exits.
SLICE = 10.0
#: Seconds for which a wait for several gathers endings after the first, and more for each of many, up to that many.
_GRACE, _GRACE_EACH, _GRACE_MANY = 0.002, 2e-5, 400
#: Seconds for which a batch of deliveries waits for the others once one has its answer.
_TOGETHER = 0.05
#: Deliveries whose outcome is cached; older ones are found by their receipts in the store.
_REMEMBERED = 4096


class HostService:
    """The request handlers of one host."""

    def __init__(self, host: InstanceHost) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[str, asyncio.Task[Reply]] = {}
        self._answered: OrderedDict[str, Reply] = OrderedDict()

    # --- starting ---------------------------------------------------------------------------------

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Reply]:
        """Start instances of this host. Each is durable when this answers."""
        host = self._host
        if host.moved:
            return [Reply("moved")] * len(requests)
        known = await self._recorded([r.request_id for r in requests if r.retry])
        host.notify([r.start_options.instance_id for r in requests if r.request_id in known])
        now = host.clock.now()
        wanted = [r for r in requests if r.request_id not in known]
        starts = await new_starts(wanted, host.instance_factory, host.deployments, now)
        self._redirect_foreign(starts)
        begun = {id(start): done for start in starts if (done := self._start_with_first_turn(start, now)) is not None}
        alone = [start for start in starts if start.reply is None and id(start) not in begun]
        try:
            await self._begin(alone, now)
            again = [start for start in starts if (done := begun.get(id(start))) and not await _answered(start, done)]
            await self._begin(again, now)
        except StoreError as error:
            for done in begun.values():
                done.add_done_callback(_retrieve)
            if not isinstance(error, Fenced):
                raise
            return [Reply("moved")] * len(requests)  # nothing was written; the process that owns the host will answer
        replies = {start.request.request_id: start.reply for start in starts}
        return [replies.get(r.request_id) or known[r.request_id] for r in requests]

    def _redirect_foreign(self, starts: Sequence[Start]) -> None:
        """Redirect starts of instances that belong to another host."""
        for start in starts:
            if start.new is not None and start.new.host != self._host.name:
                start.reply = Reply("moved")

    def _start_with_first_turn(self, start: Start, now: int) -> asyncio.Future[Answer] | None:
        """Commit start and first turn in one transaction; None if the start has to be committed alone."""
        if start.new is None or start.reply is not None or start.request.signal is not None:
            return None
        active = self._host.startable_with_first_turn(self._host.instance_factory.row(start.new))
        if active is None:
            return None
        (write,) = start_writes([start], now, self._host.settings.receipt_seconds)
        assert isinstance(write, StartInstance)
        return self._host.turn_scheduler.begin(active, write)

    async def _begin(self, starts: Sequence[Start], now: int) -> None:
        """Commit these starts without first turns."""
        host = self._host

        async def rows(ids: Sequence[str]) -> Mapping[str, InstanceRow]:
            return await host.background.blocking(lambda: host.store.rows(ids))

        async def again(outdated: Sequence[Start]) -> None:
            await host.deployments.refresh()
            make_rows(outdated, host.instance_factory, now)
            self._redirect_foreign(outdated)

        parents = await begin(starts, now, host.settings.receipt_seconds, host.committer.write_once, rows, again)
        for at, parent in parents:
            host.peers.notify(at, [parent], True)
        for start in starts:
            self._begun(start)

    def _begun(self, start: Start) -> None:
        if start.new is None or start.reply is None or start.reply.code != "ok":
            return
        self._host.created(self._host.instance_factory.row(start.new))
        if start.request.signal is not None:
            self._host.notify([start.new.instance_id])

    # --- messages ---------------------------------------------------------------------------------

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Reply]:
        """Deliver messages to instances of this host. Each that is answered "ok" is durable when this answers.

        A batch has deliveries of different senders. Those that take long (their instance's code is being loaded) or fail do
        not delay the others: they are answered "moved", and their senders retry and join the first attempt.
        """
        if self._host.moved:
            return [Reply("moved")] * len(deliveries)
        known = await self._recorded(
            [d.request_id for d in deliveries if d.retry and not self._remembers(d.request_id)]
        )
        # What the registry stored for an earlier attempt is in the inbox; it may have died before it notified this host.
        self._host.notify({d.instance_id for d in deliveries if d.request_id in known})
        answers = [self._once(delivery, known.get(delivery.request_id)) for delivery in deliveries]
        if len(answers) > 1:
            await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            if slow := [answer for answer in answers if not answer.done()]:
                await asyncio.wait(slow, timeout=_TOGETHER)
            if any(answer.done() and answer.exception() is None for answer in answers):
                return [_reply_so_far(answer) for answer in answers]
        return list(await asyncio.gather(*answers))

    def _remembers(self, request_id: str) -> bool:
        return request_id in self._under_way or request_id in self._answered

    def _once(self, delivery: Delivery, recorded: Reply | None) -> asyncio.Future[Reply]:
        """Join a request that is in progress or was answered lately: its retry may arrive before its commit."""
        request_id = delivery.request_id
        known = recorded or self._answered.get(request_id)
        if known is not None:
            answer: asyncio.Future[Reply] = self._loop.create_future()
            answer.set_result(known)
            return answer
        task = self._under_way.get(request_id)
        if task is None:
            task = self._under_way[request_id] = self._loop.create_task(self._deliver(delivery))
            task.add_done_callback(partial(self._note, request_id))
        return asyncio.shield(task)

    def _note(self, request_id: str, done: asyncio.Task[Reply]) -> None:
        del self._under_way[request_id]
        if done.cancelled() or done.exception() is not None or done.result().code == "moved":
            return
        self._answered[request_id] = done.result()
        if len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)

    async def _deliver(self, delivery: Delivery) -> Reply:
        found: ActiveInstance | InstanceRow | None = self._host.instance_cache.peek(delivery.instance_id)
        if found is None and not self._host.moved:
            try:
                found = await self._host.instance_cache.find(delivery.instance_id)
            except asyncio.CancelledError:
                if not self._host.moved:
                    raise
        # The host may have been passivated meanwhile, and would never take the message.
        if self._host.moved:
            return Reply("moved")
        if found is None:
            return Reply("absent")
        row = found.row if isinstance(found, ActiveInstance) else found
        if delivery.created_at not in (None, row.created_at):
            return started_anew()
        if isinstance(event := delivery.message.event, ev.ExecutionRewound):
            if isinstance(found, InstanceRow) and found.finished:
                return await check_replay(self._host, found, event)
            return Reply("refused", "it has not ended")
        if isinstance(found, InstanceRow):
            return Reply("finished", found.status) if found.finished else Reply("moved")
        no_turn = (found.obstacle and found.waiting_reason) or not found.may_begin(self._host.clock.now())
        if no_turn and not isinstance(delivery.message.event, ev.TerminateRequested):
            return await self._store(delivery, replace(found.row, status=found.status, turn=found.turn))
        answer: asyncio.Future[Reply] = self._loop.create_future()
        pending = PendingMessage(
            delivery.message, answer=answer, request_id=delivery.request_id, created_at=delivery.created_at
        )
        self._host.turn_scheduler.enqueue(found, pending)
        return await answer

    async def _store(self, delivery: Delivery, row: InstanceRow) -> Reply:
        """Store a message for an instance that cannot take a turn now (before `start_at`, or its code is missing)."""
        host, event = self._host, delivery.message.event
        refused = await pausing(host.store, host.background.blocking, row, event)
        if refused is not None:
            return refused
        until = self._host.clock.now() + int(self._host.settings.receipt_seconds * SECOND)
        receipt = Receipt(delivery.request_id, receipt_text(Reply("ok")), until)
        message = stored_delivery(delivery, receipt)
        (answer,) = await host.committer.write_once([message])
        if isinstance(answer, Delivered):
            active = host.instance_cache.peek(delivery.instance_id)
            if active is not None and active.unstarted and answer.turn == 0:
                active.row = replace(active.row, status=answer.status)
            if row.queued and isinstance(event, ev.ExecutionResumed):
                host.peers.finished([delivery.instance_id])  # the registry's instance limiter has to count again
        if isinstance(answer, Delivered | Repeated):
            host.notify([delivery.instance_id])
        return delivery_reply(answer)

    # --- waiting -----------------------------------------------------------------------

    async def wait(
        self, instance_ids: Sequence[str], seconds: float, *, start: bool = False, all_of_them: bool = False
    ) -> list[Ending]:
        """How these ended (or, with `start`, began): as soon as one has (or all have), or nothing after `seconds`.

        "moved" and "absent" count as endings: the caller has to ask elsewhere.
        """
        host = self._host
        if host.moved:
            return [Ending(instance_id, "moved") for instance_id in instance_ids]
        waiters, futures = host.waiters, {}
        for instance_id in instance_ids:
            futures[instance_id] = waiters.start(instance_id) if start else waiters.end(instance_id)
        try:
            done = await self._already(instance_ids, start)
            known = {ending.instance_id for ending in done}
            missing = {i: f for i, f in futures.items() if i not in known}
            if missing and (all_of_them or not done):
                await self._until(list(missing.values()), min(seconds, SLICE), all_of_them)
            done += [future.result() for future in missing.values() if future.done()]
            return done
        finally:
            for instance_id, future in futures.items():
                waiters.forget(instance_id, future)

    async def _until(self, futures: list[asyncio.Future[Ending]], seconds: float, all_of_them: bool) -> None:
        when = asyncio.ALL_COMPLETED if all_of_them else asyncio.FIRST_COMPLETED
        _, pending = await asyncio.wait(futures, timeout=seconds, return_when=when)
        if pending and len(futures) > 1 and not all_of_them:
            grace = _GRACE + _GRACE_EACH * min(len(pending), _GRACE_MANY)
            await asyncio.wait(pending, timeout=grace)

    async def _already(self, instance_ids: Sequence[str], start: bool) -> list[Ending]:
        """Endings that are known already: of instances that are not in memory."""
        elsewhere, found = [], []
        for instance_id in instance_ids:
            active = self._host.instance_cache.peek(instance_id)
            if active is None:
                elsewhere.append(instance_id)
            elif start and not active.unstarted:
                found.append(begun(instance_id))
        if elsewhere:
            rows = await self._host.background.blocking(lambda: self._host.store.rows(elsewhere))
            for instance_id in elsewhere:
                row = rows.get(instance_id)
                if row is None:
                    found.append(Ending(instance_id, "absent"))
                elif row.finished or (start and row.turn):
                    found.append(ending_of(row))
                elif row.host != self._host.name:
                    found.append(Ending(instance_id, "moved"))
        return found

    # --- helpers -----------------------------------------------------------------------------------

    async def _recorded(self, request_ids: list[str]) -> dict[str, Reply]:
        if not request_ids:
            return {}
        texts = await self._host.background.blocking(lambda: self._host.store.receipts(request_ids))
        return {request_id: receipt_reply(text) for request_id, text in texts.items()}


def _reply_so_far(answer: asyncio.Future[Reply]) -> Reply:
    """The answer, if there is one by now; else "moved", so that its sender retries."""
    if not answer.done():
        answer.cancel()  # only the waiting is cancelled, not what it waited for
        return Reply("moved")
    return answer.result() if answer.exception() is None else Reply("moved")


async def _answered(start: Start, done: asyncio.Future[Answer]) -> bool:
    """Whether a start with its first turn was committed; if not, its receipt allows to try the start alone."""
    try:
        take_answers([start], [await done])
    except Fenced:
        raise
    except StoreError:
        return False
    return start.reply is not None


def _retrieve(done: asyncio.Future[Answer]) -> None:
    """Retrieve its error, which its sender gets from another of the batch, so that asyncio does not log it."""
    if not done.cancelled():
        done.exception()


def delivery_reply(answer: Answer) -> Reply:
    """The reply to the sender of a message, by the store's answer."""
    match answer:
        case Delivered():
            return Reply("ok", host=answer.host, placement=answer.placement)
        case Finished():
            return Reply("finished", answer.status)
        case Absent():
            return Reply("absent")
        case Repeated():
            return receipt_reply(answer.outcome)
        case Refused():
            return Reply("refused", answer.reason)
        case _:
            return Reply("refused", type(answer).__name__)
