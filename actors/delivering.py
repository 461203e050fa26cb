"""Starting instances wherever they belong, and bringing messages to those that have no process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from durable_ray.actors.clock import SECOND
from durable_ray.actors.desk import delivery_reply, ending_of
from durable_ray.actors.held import is_held
from durable_ray.actors.messages import Delivery, Reply, StartRequest
from durable_ray.actors.pending import finish_pending, pausing, status_by
from durable_ray.actors.registry_core import RegistryCore
from durable_ray.actors.starting import Start, begin, conceive
from durable_ray.actors.store.records import InstanceRow
from durable_ray.actors.store.writes import Done, PutMessage, Receipt, Repeated, Write
from durable_ray.actors.turns import out_message, receipt_reply, receipt_text
from durable_ray.orchestrations import events as ev

#: How long the key of an event that must arrive once is remembered (µs).
_KEYS_KEPT = 24 * 3600 * SECOND


class Delivering(RegistryCore):
    """What comes in for instances that the caller cannot reach itself."""

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Reply]:
        """Begin instances, wherever they belong. Each is durable when this answers."""
        known = await self._recorded([r.request_id for r in requests if r.retry])
        if any(request.revision > self.library.revision for request in requests):
            await self.blocking(self.library.refresh)
        now = self.clock.now()
        starts = conceive([r for r in requests if r.request_id not in known], self._nursery, now)
        told = await begin(starts, now, self.settings.receipt_seconds, self._committer.write_once, self._rows)
        self.wake(told)
        await self._begun(starts)
        replies = {start.request.request_id: start.reply for start in starts}
        return [replies.get(r.request_id) or known[r.request_id] for r in requests]

    async def _begun(self, starts: Iterable[Start]) -> None:
        begun = [start for start in starts if start.new and start.reply and start.reply.code == "ok"]
        self.wake([(start.new.host, start.new.instance_id) for start in begun if start.new])
        for start in begun:
            old = start.replaced
            if old is not None and start.new is not None and old.host != start.new.host and not old.finished:
                self.wake([(old.host, old.instance_id)])
        held = {s.new.name for s in begun if s.new and is_held(s.new.start_at)}
        if held:
            self.spawn(self.slots.look(held))
        signalled = [s for s in starts if s.request.signal is not None and s.reply and s.reply.code == "exists"]
        # Whoever holds the instance knows of the event before its sender goes on, so that a later one comes later.
        await self.admission.wake([(s.reply.host, s.request.wish.instance_id) for s in signalled if s.reply])

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Reply]:
        """Bring messages to instances that are not in memory; "moved" (with the host) for those that are."""
        known = await self._recorded([d.request_id for d in deliveries if d.retry])
        rows = await self.blocking(lambda: self.store.rows([d.instance_id for d in deliveries]))
        until = self.clock.now() + int(self.settings.receipt_seconds * SECOND)
        replies: list[Reply | None] = []
        for delivery in deliveries:
            row = rows.get(delivery.instance_id)
            reply = known.get(delivery.request_id) or self._refusal(delivery, row)
            if reply is None and row is not None:
                reply = await self._deliver_asleep(delivery, row, until)
            replies.append(reply)
        waiting = [d for d, reply in zip(deliveries, replies, strict=True) if reply is None]
        writes: list[Write] = [_put(d, Receipt(d.request_id, receipt_text(Reply("ok")), until)) for d in waiting]
        answers = iter(await self._committer.write_once(writes)) if writes else iter(())
        woken: list[tuple[str, str]] = []
        for position, delivery in enumerate(deliveries):
            if replies[position] is None:
                reply = replies[position] = delivery_reply(next(answers))
                if reply.code == "ok":
                    woken.append((reply.host, delivery.instance_id))
        resumed = {d.instance_id for d in waiting if isinstance(d.message.event, ev.ExecutionResumed)}
        names = {rows[i].name for i in resumed if i in rows and is_held(rows[i].start_at)}
        if names:
            self.spawn(self.slots.look(names))
        # Acknowledged only after whoever holds the instance knows: an event sent straight to it afterwards comes later.
        await self.admission.wake(woken)
        return [reply for reply in replies if reply is not None]

    async def deliver_once(self, delivery: Delivery, key: str) -> Reply:
        """Bring a message to an instance unless one with this key was brought to it within a day.

        Through the store even if the instance is in memory: only a transaction can tell the first of two apart.
        """
        row = (await self.blocking(lambda: self.store.rows([delivery.instance_id]))).get(delivery.instance_id)
        if row is None:
            return Reply("absent")
        # The time of its creation: a later instance of the same ID has heard of no key.
        request_id = f"once/{row.instance_id}/{row.created_at}/{key}"
        receipt = Receipt(request_id, receipt_text(Reply("ok")), self.clock.now() + _KEYS_KEPT)
        (answer,) = await self._committer.write_once([_put(delivery, receipt)])
        if isinstance(answer, Repeated):
            return receipt_reply(answer.outcome)
        reply = delivery_reply(answer)
        if reply.code == "ok":
            await self.admission.wake([(reply.host, delivery.instance_id)])
        return reply

    async def _rows(self, instance_ids: Sequence[str]) -> Mapping[str, InstanceRow]:
        return await self.blocking(lambda: self.store.rows(instance_ids))

    def _refusal(self, delivery: Delivery, row: InstanceRow | None) -> Reply | None:
        if row is None:
            return Reply("absent")
        if row.finished:
            return Reply("finished", row.status)
        if row.placement == "shared" or self.admission.holds(row.instance_id):
            return Reply("moved", host=row.host, placement=row.placement)
        return None

    async def _deliver_asleep(self, delivery: Delivery, row: InstanceRow, until: int) -> Reply | None:
        """What can be answered without giving the instance a process; None: put the message into its mailbox."""
        event = delivery.message.event
        receipt = Receipt(delivery.request_id, receipt_text(Reply("ok")), until)
        if isinstance(event, ev.TerminateRequested) and row.turn == 0:
            mail = await self.blocking(lambda: self.store.inbox([row.instance_id]))
            write = replace(finish_pending(row, mail, event, self.clock.now()), receipt=receipt)
            (answer,) = await self._committer.write_once([write])
            if isinstance(answer, Done):
                rows: Mapping[str, InstanceRow] = await self.blocking(lambda: self.store.rows([row.instance_id]))
                if row.instance_id in rows:
                    self.waiters.ended(ending_of(rows[row.instance_id]))
                self.spawn(self.slots.look([row.name]))
                if row.parent is not None:
                    await self._wake_one(row.parent.instance_id)
                return Reply("ok")
        return await pausing(self.store, self.blocking, row, event)

    async def _wake_one(self, instance_id: str) -> None:
        row = (await self.blocking(lambda: self.store.rows([instance_id]))).get(instance_id)
        if row is not None and not row.finished:
            await self.admission.wake([(row.host, instance_id)])


def _put(delivery: Delivery, receipt: Receipt) -> PutMessage:
    return PutMessage(out_message(delivery.instance_id, delivery.message), receipt, status_by(delivery.message.event))
