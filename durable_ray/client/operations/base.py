"""What all of a client's operations share: the hub they speak to, and how they reach an instance in it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from durable_ray.actors import errors
from durable_ray.actors.messages import Delivery, Hello
from durable_ray.client.deploying import Deployer
from durable_ray.client.router import Router
from durable_ray.client.steps import Steps
from durable_ray.orchestrations.history.events import Event, Message
from durable_ray.orchestrations.values.ids import validate_instance_id

H = TypeVar("H")


class ClientCore(Generic[H]):
    """A client's knowledge of its hub. `H` is the kind of handle it gives out."""

    def __init__(self, hello: Hello, deployer: Deployer, partitions: int) -> None:
        self.hub = hello.hub
        self._hello = hello
        self._deployer = deployer
        self._partitions = partitions
        self._router = Router()

    def _handle(self, instance_id: str, output_hint: Any = None) -> H:
        raise TypeError("a client is `Client` or `AsyncClient`")

    def get_handle(self, instance_id: str) -> H:
        """A handle on an instance, whether it exists or not. Makes no call."""
        return self._handle(validate_instance_id(instance_id))

    def _send(self, instance_id: str, message_id: str, event: Event) -> Steps[None]:
        validate_instance_id(instance_id)
        delivery = Delivery(message_id, instance_id, Message(message_id, event))
        reply = yield from self._router.deliver(delivery)
        errors.raise_for(instance_id, reply.code, reply.detail)
