"""The client: `Client` blocks, `AsyncClient` is awaited; both are the same operations."""

from __future__ import annotations

import atexit
import logging
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, Generic, Self, TypeVar

from durable_ray.actors.cluster.connecting import HubLink, connect
from durable_ray.actors.cluster.handles import Gone
from durable_ray.actors.errors import InstanceNotFound, InvalidState
from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.messages import Hello
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.records import LIVE
from durable_ray.actors.store.urls import shown_url
from durable_ray.client.deploying import Deployer
from durable_ray.client.handle import AsyncOrchestrationHandle, OrchestrationHandle
from durable_ray.client.operations import H, Operations
from durable_ray.client.operations.typed_calls import AwaitedCalls, BlockingCalls
from durable_ray.client.ray_drivers import AsyncRayDriver, RayDriver
from durable_ray.client.steps import Awaiting, AwaitingDriver, Blocking, BlockingDriver, Pause, Steps, operation
from durable_ray.config import ClientSettings
from durable_ray.orchestrations.authoring.catalog import catalog
from durable_ray.orchestrations.values.ids import validate_instance_id

D = TypeVar("D")

log = logging.getLogger("durable_ray")

#: Seconds that a process which ends takes to ask what has not finished.
_LAST_SECONDS = 3.0


class OverRay(Operations[H], ABC, Generic[H, D]):
    """What both clients are over Ray: how they connect, and what only a client over Ray can do."""

    _driver: D
    _link: HubLink

    def __init__(
        self,
        address: str | None = None,
        *,
        hub: str | None = None,
        store: str | None = None,
        settings: HubSettings | None = None,
    ) -> None:
        asked = {"address": address, "hub": hub, "store": store}
        wanted = ClientSettings(**{key: value for key, value in asked.items() if value is not None})
        link = connect(wanted.address, wanted.hub, wanted.store, (settings or HubSettings()).settled())
        super().__init__(link.hello, Deployer(catalog, link.runtime_env()), link.hello.partitions)
        self._link = link
        self._driver = self._driver_over(link)
        if link.started_ray:
            # Ray's own, which ends the cluster, was registered before and so runs after it.
            atexit.register(_note_unfinished, weakref.ref(self))

    @classmethod
    def _of(cls, hello: Hello, deployer: Deployer, partitions: int, driver: D) -> Self:
        """A client of a hub that is reached otherwise."""
        client = cls.__new__(cls)
        Operations.__init__(client, hello, deployer, partitions)
        client._driver = driver
        return client

    def __repr__(self) -> str:
        facts = self._facts()
        return f"<{type(self).__name__} of hub {facts['hub']!r}, store {facts['store']}, {facts['runs on']}>"

    def _repr_html_(self) -> str:
        from durable_ray.notebook.hubs import client_html  # for notebooks alone
        from durable_ray.notebook.overview import PATIENCE

        try:
            client = self._blocking()
            asked = client._router.registry_within(PATIENCE, Registry.counts)
            counts, note = client._driver.run(asked), ""
        except Exception as error:  # a cell that shows a client must not fail, nor hide which hub does not answer
            counts, note = {}, f"cannot be counted now: {error}"
        return client_html(self._facts(), counts, note)

    def _facts(self) -> dict[str, str]:
        """Where this client leads, without secrets."""
        link = getattr(self, "_link", None)
        return {
            "hub": self.hub,
            "store": shown_url(self._hello.store),
            "runs on": f"Ray at {link.address}" if link else "this process alone, without Ray",
            "release": str(import_module("durable_ray").__version__),
            "code": f"revision {self._deployer.revision}" if self._deployer.revision else "none deployed from here yet",
        }

    @abstractmethod
    def _blocking(self) -> Client:
        """The same hub for code that cannot await."""

    @abstractmethod
    def _driver_over(self, link: HubLink) -> D:
        """What drives this client's steps."""

    @operation
    def get_actor(self, instance_id: str) -> Steps[Any]:
        """The Ray actor handle of a dedicated instance, activated if it is passivated.

        Its methods (`get_status`, `raise_event`, `terminate`, `suspend`, `resume`, `wait_for_completion`, `pid`) answer and
        raise as this client does. It is passivated again when its instance has merely waited for `idle_timeout`.

        Raises:
            InstanceNotFound: there is no such instance.
            InvalidState: it is a shared one and has no actor of its own.

        Example:
            >>> actor = client.get_actor("nightly")  # doctest: +SKIP
            >>> ray.get(actor.get_status.remote()).runtime_status  # doctest: +SKIP
        """
        host = dedicated_host(validate_instance_id(instance_id))
        if not hasattr(self, "_link"):
            raise InvalidState(
                "this hub runs in one process, without Ray: its instances have no actors; use the client"
            )
        while True:
            if not (yield from self._router.registry(Registry.ensure, host)):
                if not (yield from self._router.registry(Registry.resolve, [instance_id])):
                    raise InstanceNotFound(instance_id)
                raise InvalidState(f"instance {instance_id!r} is shared: it has no actor of its own; use the client")
            try:
                return self._link.find(host)
            except Gone:
                # It was passivated again before we found it.
                yield Pause(0.05)


def _note_unfinished(reference: Callable[[], OverRay[Any, Any] | None]) -> None:
    """At the end of a process that started Ray for itself: say what becomes of the instances that have not finished."""
    client = reference()
    if client is None:
        return
    try:
        blocking = client._blocking()
        counts = blocking._driver.run(blocking._router.registry_within(_LAST_SECONDS, Registry.counts))
    except Exception:  # the process ends; it must not end with an error of this
        return
    if live := sum(number for (_, status), number in counts.items() if status in LIVE):
        store = client._facts()["store"]
        log.warning(
            "instances that have not finished: %d. They pause now, because Ray ends with this process, and go on at the next "
            "Client (or `durable-ray up`) on the store %s",
            live,
            store,
        )


class Client(BlockingCalls, OverRay[OrchestrationHandle, BlockingDriver], Blocking):  # type: ignore[misc]
    """Manages a hub's instances from a driver, a job or a notebook.

    Args:
        address: of the Ray cluster; by default the one this process is in, the one running on this machine, or a new one.
        hub: name of the task hub: its own instances, its own store.
        store: `sqlite:///path` or `postgresql://…`; by default a file in the user's state directory.
        settings: of the hub, if this client is the one that creates it.

    Each argument comes from the environment (`DURABLE_RAY_ADDRESS`, `_HUB`, `_STORE`) if it is left out.

    Raises:
        HubUnavailable: the cluster cannot be reached; the message names likely causes.
        HubInUse: another cluster owns the store.
        StoreUnusable: it cannot be written to, or is none; the message has the remedy.
        ProtocolMismatch: the hub runs another release.

    Example:
        >>> client = Client()  # doctest: +SKIP
        >>> client.start_new(hello_cities, ["Tokyo"]).wait_for_completion(30)  # doctest: +SKIP
    """

    _stands_for = (("H", "OrchestrationHandle"),)

    def _driver_over(self, link: HubLink) -> BlockingDriver:
        return RayDriver(link)

    def _blocking(self) -> Client:
        return self

    def _handle(self, instance_id: str, output_hint: Any = None) -> OrchestrationHandle:
        return OrchestrationHandle(self, instance_id, output_hint)


class AsyncClient(AwaitedCalls, OverRay[AsyncOrchestrationHandle, AwaitingDriver], Awaiting):  # type: ignore[misc]
    """`Client` for event loops: the same operations, awaited. Making one blocks; see `Client` for the arguments."""

    _stands_for = (("H", "AsyncOrchestrationHandle"),)

    def _driver_over(self, link: HubLink) -> AwaitingDriver:
        return AsyncRayDriver(link)

    def _blocking(self) -> Client:
        """The same hub for code that cannot await: each call blocks the event loop for as long as it takes."""
        blocking = Client._of(self._hello, self._deployer, self._partitions, self._driver.blocking())
        if hasattr(self, "_link"):
            blocking._link = self._link
        return blocking

    def _handle(self, instance_id: str, output_hint: Any = None) -> AsyncOrchestrationHandle:
        return AsyncOrchestrationHandle(self, instance_id, output_hint)
