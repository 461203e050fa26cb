"""What all of a client's operations share: the hub they speak to, how they reach an instance in it, and what is started with
which input."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from durable_ray.actors import errors
from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.messages import Delivery, Hello
from durable_ray.client.deploying import Deployer
from durable_ray.client.router import Router
from durable_ray.client.steps import Steps
from durable_ray.orchestrations.authoring.arguments import BoundCall, BoundOrchestrator, check_arguments
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.history.events import Event, Message, Payload
from durable_ray.orchestrations.values.ids import validate_instance_id

H = TypeVar("H")
AnyOrchestrator = Orchestrator[..., Any, Any] | BoundOrchestrator[Any] | str


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


def definition_of(orchestrator: AnyOrchestrator) -> Orchestrator[..., Any, Any] | str:
    """The orchestrator without arguments. Raises TypeError for anything else."""
    found = orchestrator.definition if isinstance(orchestrator, BoundCall) else orchestrator
    if isinstance(found, Orchestrator | str):
        return found
    raise TypeError(
        f"{orchestrator!r} is not an orchestrator: decorate the function with @durable_ray.orchestrator, or pass the "
        "name under which one is deployed"
    )


def encoded_input(orchestrator: AnyOrchestrator, value: object) -> Payload | None:
    """The input of one start.

    Raises:
        InvalidArguments: arguments by name do not fit the orchestrator's parameters.
        PayloadNotSerializable: it can be neither JSON nor pickled.
        TypeError: the orchestrator has its arguments already, and an input is given beside them.
    """
    if isinstance(orchestrator, BoundCall):
        if value is not None:
            raise TypeError(f"{orchestrator!r} has its arguments already, and is given no input beside them")
        value = orchestrator
    definition = definition_of(orchestrator)
    if isinstance(value, BoundCall):
        if value.definition is not definition:
            raise TypeError(
                f"{value!r} has the arguments of another function than {definition!r}, which is to be started"
            )
        value = value.input
    payload = None if value is None else PYTHON_PAYLOADS.encode(value)
    if isinstance(definition, Orchestrator):
        check_arguments(definition, payload, PYTHON_PAYLOADS)
    return payload
