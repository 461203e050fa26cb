"""Starts and message delivery through the registry: for instances that the caller cannot reach itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from durable_ray.actors.clock import SECOND
from durable_ray.actors.host.service import delivery_reply
from durable_ray.actors.host.turns import receipt_text
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.starting import (
    Start,
    begin,
    finish_pending,
    make_rows,
    new_starts,
    pause_refused,
    stored_delivery,
)
from durable_ray.actors.instances.waiters import ending_of
from durable_ray.actors.messages import Delivery, Reply, StartRequest, started_anew
from durable_ray.actors.registry.queries import RegistryQueries
from durable_ray.actors.store.records import InboxMessage, InstanceRow, Receipt
from durable_ray.actors.store.writes import Absent, Done, Write
from durable_ray.orchestrations.history import events as ev

#: How long the idempotency key of an event is remembered (µs).
_KEYS_KEPT = 24 * 3600 * SECOND
#: Whether and how these are applied depends on the messages in the inbox.
_READ_INBOX_FIRST = (ev.TerminateRequested, ev.ExecutionSuspended, ev.ExecutionResumed)


class RegistryDelivery(RegistryQueries):
    """Starts and messages for instances that the caller cannot reach itself."""

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Reply]:
        """Start instances, wherever they are placed. Each is durable when this answers."""
        known = await self._recorded([r.request_id for r in requests if r.retry])
        now = self.clock.now()
        wanted = [r for r in requests if r.request_id not in known]
        starts = await new_starts(wanted, self._instance_factory, self.deployments, now)

        async def again(outdated: Sequence[Start]) -> None:
            await self.deployments.refresh()
            make_rows(outdated, self._instance_factory, now)

        notified = await begin(starts, now, self.settings.receipt_seconds, self._committer.write_once, self.rows, again)
        self.notify(notified)
        await self._started(starts)
        await self._started_before([r for r in requests if r.request_id in known])
        replies = {start.request.request_id: start.reply for start in starts}
        return [replies.get(r.request_id) or known[r.request_id] for r in requests]

    async def _started(self, starts: Iterable[Start]) -> None:
        started = [start for start in starts if start.new and start.reply and start.reply.code == "ok"]
        self.notify([(start.new.host, start.new.instance_id) for start in started if start.new])
        for start in started:
            old = start.replaced
            if old is not None and start.new is not None and old.host != start.new.host and not old.finished:
                self.notify([(old.host, old.instance_id)])
        queued = {s.new.name for s in started if s.new and s.new.queued}
        if queued:
            self.spawn(self.instance_limiter.dequeue(queued))
        signalled = [s for s in starts if s.request.signal is not None and s.reply and s.reply.code == "exists"]
        # The host knows of the event before its sender goes on, so that a later one arrives later.
        await self.notifier.notify([(s.reply.host, s.request.start_options.instance_id) for s in signalled if s.reply])

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Reply]:
        """Deliver messages to instances that have no process; "moved" (with the host) for those that have."""
        # Rows first: a first try that ends its instance between the two reads is found by its receipt, not taken for refused.
        rows = await self.rows([d.instance_id for d in deliveries])
        known = await self._recorded([d.request_id for d in deliveries if d.retry])
        until = self.clock.now() + int(self.settings.receipt_seconds * SECOND)
        replies: list[Reply | None] = [
            known.get(delivery.request_id) or self._refusal(delivery, rows.get(delivery.instance_id))
            for delivery in deliveries
        ]
        await self._without_process(deliveries, replies, rows, until)
        waiting = [d for d, reply in zip(deliveries, replies, strict=True) if reply is None]
        writes: list[Write] = [
            stored_delivery(d, Receipt(d.request_id, receipt_text(Reply("ok")), until)) for d in waiting
        ]
        answers = iter(await self._committer.write_once(writes)) if writes else iter(())
        answered = [(delivery, known[delivery.request_id]) for delivery in deliveries if delivery.request_id in known]
        for position, delivery in enumerate(deliveries):
            if replies[position] is None:
                reply = replies[position] = delivery_reply(next(answers))
                answered.append((delivery, reply))
        resumed = {d.instance_id for d in waiting if isinstance(d.message.event, ev.ExecutionResumed)}
        names = {rows[i].name for i in resumed if i in rows and rows[i].queued}
        if names:
            self.spawn(self.instance_limiter.dequeue(names))
        await self._notify_hosts(answered, rows)
        return [reply for reply in replies if reply is not None]

    async def _notify_hosts(self, answered: Iterable[tuple[Delivery, Reply]], rows: Mapping[str, InstanceRow]) -> None:
        """Notify the hosts before the messages are acknowledged: one sent straight to the host afterwards arrives later.

        Also of what an earlier attempt has stored: its answer names no host, and it may have died before it notified any.
        """
        hosts = {}
        for delivery, reply in answered:
            row = rows.get(delivery.instance_id)
            if reply.code == "ok" and (host := reply.host or (row.host if row and not row.finished else "")):
                hosts[delivery.instance_id] = host
        await self.notifier.notify([(host, instance_id) for instance_id, host in hosts.items()])

    async def deliver_once(self, delivery: Delivery, key: str) -> Reply:
        """Deliver a message to an instance unless one with this idempotency key was delivered to it within a day.

        Through the store even if the instance is in memory: only a transaction decides which of two is the first.
        """
        while True:
            row = (await self.rows([delivery.instance_id])).get(delivery.instance_id)
            if row is None:
                return Reply("absent")
            # With the time of its creation: keys do not count for a later instance of the same ID.
            request_id = f"once/{row.instance_id}/{row.created_at}/{key}"
            receipt = Receipt(request_id, receipt_text(Reply("ok")), self.clock.now() + _KEYS_KEPT)
            to_this_one = replace(delivery, created_at=row.created_at)
            (answer,) = await self._committer.write_once([stored_delivery(to_this_one, receipt)])
            if not isinstance(answer, Absent):
                break  # else it was purged or restarted meanwhile
        reply = delivery_reply(answer)
        await self._notify_hosts([(delivery, reply)], {row.instance_id: row})
        return reply

    async def _started_before(self, requests: Sequence[StartRequest]) -> None:
        """An earlier attempt started these; it may have died before it notified their hosts."""
        if not requests:
            return
        rows = await self.rows([request.start_options.instance_id for request in requests])
        active = [(row.host, row.instance_id) for row in rows.values() if not row.finished]
        signalled = {request.start_options.instance_id for request in requests if request.signal is not None}
        self.notify([(host, instance_id) for host, instance_id in active if instance_id not in signalled])
        await self.notifier.notify([(host, instance_id) for host, instance_id in active if instance_id in signalled])

    def _refusal(self, delivery: Delivery, row: InstanceRow | None) -> Reply | None:
        if row is None:
            return Reply("absent")
        if delivery.created_at not in (None, row.created_at):
            return started_anew()
        if row.finished:
            return Reply("finished", row.status)
        if row.placement == "shared" or self.admission.is_running(row.instance_id):
            return Reply("moved", host=row.host, placement=row.placement)
        return None

    async def _without_process(
        self,
        deliveries: Sequence[Delivery],
        replies: list[Reply | None],
        rows: Mapping[str, InstanceRow],
        until: int,
    ) -> None:
        """Answer what needs no process of the instance, with one read and one commit; None stays for the inbox."""
        asked = [
            (position, delivery, rows[delivery.instance_id])
            for position, delivery in enumerate(deliveries)
            if replies[position] is None and isinstance(delivery.message.event, _READ_INBOX_FIRST)
        ]
        if not asked:
            return
        ids = [row.instance_id for _, _, row in asked]
        inboxes: dict[str, list[InboxMessage]] = {instance_id: [] for instance_id in ids}
        for pending in await self.blocking(lambda: self.store.inbox(ids)):
            inboxes[pending.instance_id].append(pending)
        ends: list[tuple[int, InstanceRow, Write]] = []
        for position, delivery, row in asked:
            event, waiting = delivery.message.event, inboxes[row.instance_id]
            if not isinstance(event, ev.TerminateRequested):
                replies[position] = pause_refused(row, waiting, event)
            elif row.turn == 0:
                receipt = Receipt(delivery.request_id, receipt_text(Reply("ok")), until)
                write = replace(finish_pending(row, waiting, event, self.clock.now()), receipt=receipt)
                ends.append((position, row, write))
        answers = await self._committer.write_once([write for _, _, write in ends]) if ends else ()
        ended = []
        for (position, row, _), answer in zip(ends, answers, strict=True):
            if isinstance(answer, Done):
                replies[position] = Reply("ok")
                ended.append(row)
        await self._ended_without_process(ended)

    async def _ended_without_process(self, ended: Sequence[InstanceRow]) -> None:
        """These have ended without a host: notify their waiters, the instance limiter, and their parents' hosts."""
        if not ended:
            return
        for row in (await self.rows([row.instance_id for row in ended])).values():
            if row.status == "Terminated":
                instance_log.terminated(row.instance_id, row.output)
            self.waiters.ended(ending_of(row))
        self.spawn(self.instance_limiter.dequeue({row.name for row in ended}))
        parents = [row.parent.instance_id for row in ended if row.parent is not None]
        if parents:
            found = (await self.rows(parents)).values()
            await self.notifier.notify([(row.host, row.instance_id) for row in found if not row.finished])
