"""One action on all instances that match a filter, in batches, with a report on each."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Unpack

from msgspec.structs import replace

from durable_ray.actors.instances.requests import raised, termination, why
from durable_ray.actors.messages import Delivery, Reply
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import LIVE
from durable_ray.client.operations.base import ClientCore, H
from durable_ray.client.operations.filters import Filters, acting_query_of
from durable_ray.client.operations.rewinding import check_version, rewinding
from durable_ray.client.steps import Steps, operation
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message

BulkAction = Literal["terminate", "suspend", "resume", "raise_event", "rewind"]


@dataclass(frozen=True)
class BulkReport:
    """What became of each instance: `done` of those it was done to, `refused` maps the others to why."""

    done: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.done) + len(self.refused)


class BulkOperations(ClientCore[H]):
    """Actions by filter."""

    @operation
    def bulk(
        self,
        action: BulkAction,
        *,
        reason: Any = None,
        event_name: str = "",
        event_data: object = None,
        recursive: bool = False,
        cancel_activities: bool = False,
        version: Literal["latest"] | None = None,
        batch_size: int = 200,
        progress: Callable[[int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> Steps[BulkReport]:
        """Terminate, suspend, resume, rewind or send an event to all instances that match. See `Filters`.

        Without a filter by status all live instances are meant ("rewind": all that failed). An instance that is not in
        a state for it (suspended already, finished meanwhile) does not stop the others; the report says so. One that
        was started under the ID of a match after that was found is left alone.

        Args:
            reason: of a termination, suspension, resumption or rewind.
            event_name, event_data: of "raise_event".
            recursive, cancel_activities: of "terminate".
            version: of "rewind": see `rewind`.
            progress: called after each batch with the number of instances seen so far.

        Raises:
            ValueError: there is no such action; or no filter that was given says anything.

        Example:
            >>> client.bulk("terminate", reason="maintenance", name="nightly").done  # doctest: +SKIP
        """
        check_version(version)
        query = replace(acting_query_of(filters), payloads="none")
        if not query.statuses:
            query = replace(query, statuses=("Failed",) if action == "rewind" else _ELIGIBLE.get(action, LIVE))
        make = maker(action, reason, event_name, event_data, recursive, cancel_activities)
        done: list[str] = []
        refused: dict[str, str] = {}
        token: str | None = None
        while True:
            page = yield from self._router.registry(Registry.query, query, batch_size, token)
            matched = [(row.instance_id, row.created_at) for row in page.rows]
            replies = yield from self._to_each(matched, make, reason, version)
            for (instance_id, _), reply in zip(matched, replies, strict=True):
                if reply.code == "ok":
                    done.append(instance_id)
                else:
                    refused[instance_id] = reply.detail or reply.code
            if progress is not None:
                progress(len(done) + len(refused))
            token = page.token
            if token is None:
                return BulkReport(tuple(done), refused)

    def _to_each(
        self,
        matched: Sequence[tuple[str, int | None]],
        make: Callable[[str], ev.Event] | None,
        reason: str | None = None,
        version: str | None = None,
    ) -> Steps[list[Reply]]:
        """Send each instance the event that `make` makes (None: rewind it), and return the replies.

        `matched` has IDs, each with the time at which the instance that was matched was created (None: whatever has
        the ID): between the match and the act another may have been started under it.
        """
        if make is None:
            replies = []
            for instance_id, created_at in matched:
                replies.append((yield from rewinding(self._router, instance_id, reason, version, created_at)))
            return replies
        deliveries = []
        for instance_id, created_at in matched:
            message_id = uuid.uuid4().hex
            message = Message(message_id, make(message_id))
            deliveries.append(Delivery(message_id, instance_id, message, created_at=created_at))
        return (yield from self._router.deliver_each(deliveries))


#: The statuses an action applies to by default.
_ELIGIBLE = {"resume": ("Suspended",), "suspend": ("Pending", "Running")}


def maker(
    action: str,
    reason: Any = None,
    event_name: str = "",
    event_data: object = None,
    recursive: bool = False,
    cancel_activities: bool = False,
) -> Callable[[str], ev.Event] | None:
    """What makes an action's event for a message of that ID; None for "rewind", which is none. Raises ValueError."""
    match action:
        case "terminate":
            ended = termination(reason, recursive, cancel_activities)
            return lambda _: ended
        case "suspend":
            suspended = ev.ExecutionSuspended(why(reason))
            return lambda _: suspended
        case "resume":
            resumed = ev.ExecutionResumed(why(reason))
            return lambda _: resumed
        case "raise_event":
            raised(event_name, event_data, "")
            return lambda message_id: raised(event_name, event_data, message_id)
        case "rewind":
            return None
        case _:
            raise ValueError(
                f"a bulk action is 'terminate', 'suspend', 'resume', 'raise_event' or 'rewind', not {action!r}; "
                "for deleting there is purge_by"
            )
