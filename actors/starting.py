"""Starting instances, the same for partitions and for the registry: conceive the row, write it, answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from durable_ray.actors.clock import SECOND
from durable_ray.actors.messages import Reply, StartRequest
from durable_ray.actors.nursery import Nursery
from durable_ray.actors.store.records import InstanceRow, NewInstance
from durable_ray.actors.store.writes import (
    Answer,
    Exists,
    OutMessage,
    PutMessage,
    Receipt,
    StartInstance,
    Started,
    Write,
)
from durable_ray.actors.turns import out_message, receipt_text
from durable_ray.orchestrations import events as ev
from durable_ray.orchestrations.events import Message
from durable_ray.orchestrations.transition import tell_parent


@dataclass(slots=True)
class Start:
    """One request on its way: its row (None if nobody deployed such an orchestrator) and what became of it."""

    request: StartRequest
    new: NewInstance | None
    reply: Reply | None = None
    replaced: InstanceRow | None = None


def conceive(requests: Sequence[StartRequest], nursery: Nursery, now: int) -> list[Start]:
    """The rows of what is asked for."""
    starts = [Start(request, nursery.conceive(request.wish, now)) for request in requests]
    for start in starts:
        if start.new is None:
            version = f" version {start.request.wish.version!r}" if start.request.wish.version else ""
            start.reply = Reply("unknown", f"{start.request.wish.name!r}{version}")
    return starts


def start_writes(starts: Sequence[Start], now: int, receipt_seconds: float) -> list[Write]:
    """The writes for all that have a row and no reply yet: one each, or two with a signal."""
    until = now + int(receipt_seconds * SECOND)
    writes: list[Write] = []
    for start in starts:
        if start.new is None or start.reply is not None:
            continue
        receipt = Receipt(start.request.request_id, receipt_text(Reply("ok")), until)
        writes.append(StartInstance(start.new, start.request.if_exists, receipt))
        if start.request.signal is not None:
            writes.append(PutMessage(out_message(start.new.instance_id, start.request.signal)))
    return writes


def take_answers(starts: Sequence[Start], answers: Sequence[Answer]) -> None:
    """Note what became of each start, from the answers to `start_writes`."""
    remaining = iter(answers)
    for start in starts:
        if start.new is None or start.reply is not None:
            continue
        answer = next(remaining)
        if start.request.signal is not None:
            next(remaining)
        if isinstance(answer, Started):
            start.reply = Reply("ok", host=start.new.host, placement=start.new.placement)
            start.replaced = answer.replaced
        else:
            assert isinstance(answer, Exists)
            row = answer.row
            start.reply = Reply("exists", row.status, row, row.host, row.placement)


def replaced_message(row: InstanceRow) -> OutMessage | None:
    """What the parent of a live instance is told when "terminate_existing" takes its place."""
    if row.finished or row.parent is None:
        return None
    ending = ev.ExecutionTerminated('"replaced by a new start of the same ID"')
    message: Message = tell_parent(row.instance_id, row.execution_id, row.parent, ending)
    return out_message(row.parent.instance_id, message)
