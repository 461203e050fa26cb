"""Messages to a live instance: events, termination, suspension and resumption. Each is durable when it is answered."""

from __future__ import annotations

import uuid

from durable_ray.actors import errors
from durable_ray.actors.instances.requests import once_key, raised, termination, why
from durable_ray.actors.messages import Delivery
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.operations.base import ClientCore, H
from durable_ray.client.steps import Steps, in_order, operation
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.values.ids import validate_instance_id


class MessageOperations(ClientCore[H]):
    """Messages to a live instance: events, termination, suspension."""

    @operation
    def raise_event(
        self,
        instance_id: str,
        event_name: str,
        data: object = None,
        *,
        when_not_awaited: str = "buffer",
        idempotency_key: str | None = None,
    ) -> Steps[None]:
        """Send an event to an instance; durable when this returns.

        Events of a name (case does not matter) arrive in the order in which they were raised, and wait for an instance
        that is not waiting for them yet: pending, suspended, passivated, or between two executions.

        Args:
            when_not_awaited: "buffer", or "discard" for the rule of Durable Functions 1.x.
            idempotency_key: of all events of this name and key that are raised for this instance within a day, one
                arrives.

        Raises:
            InstanceNotFound, InstanceFinished: there is none that could receive it.
        """
        message_id = uuid.uuid4().hex
        event = raised(event_name, data, message_id, when_not_awaited)
        if idempotency_key is None:
            yield from self._send(instance_id, message_id, event)
            return
        validate_instance_id(instance_id)
        delivery = Delivery(message_id, instance_id, Message(message_id, event))
        key = once_key(event_name, idempotency_key)
        reply = yield from in_order(instance_id, self._router.registry(Registry.deliver_once, delivery, key))
        errors.raise_for(instance_id, reply.code, reply.detail)

    @operation
    def terminate(
        self, instance_id: str, reason: object = None, *, recursive: bool = False, cancel_activities: bool = False
    ) -> Steps[None]:
        """End an instance: at its next await, or at once if it waits. `reason` becomes its output.

        Args:
            recursive: its sub-orchestrations too, and theirs.
            cancel_activities: also signal running activities to stop.

        Raises:
            InstanceNotFound, InstanceFinished.
        """
        yield from self._send(instance_id, uuid.uuid4().hex, termination(reason, recursive, cancel_activities))

    @operation
    def suspend(self, instance_id: str, reason: str | None = None) -> Steps[None]:
        """Pause an instance: events and results are kept, its code takes no step.

        Raises:
            InstanceNotFound, InstanceFinished.
            InvalidState: it is suspended already.
        """
        yield from self._send(instance_id, uuid.uuid4().hex, ev.ExecutionSuspended(why(reason)))

    @operation
    def resume(self, instance_id: str, reason: str | None = None) -> Steps[None]:
        """Let a suspended instance go on.

        Raises:
            InstanceNotFound, InstanceFinished.
            InvalidState: it is not suspended.
        """
        yield from self._send(instance_id, uuid.uuid4().hex, ev.ExecutionResumed(why(reason)))
