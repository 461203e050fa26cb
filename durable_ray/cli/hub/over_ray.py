"""The hub reached over Ray: rows as the registry keeps them, opened without unpickling anything.

A command never starts a Ray by itself as `durable_ray.Client` does: it would revive every instance for the second that
it takes to ask for a status, and end with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from durable_ray.actors.errors import HubUnavailable, InstanceNotFound
from durable_ray.actors.instances.status import moment
from durable_ray.actors.store.records import InstanceQuery, InstanceRow, Page
from durable_ray.actors.store.urls import shown_url
from durable_ray.cli.exits import CommandError, Exit, usage
from durable_ray.cli.hub.local_ray import noted
from durable_ray.cli.hub.port import Deployed, HubPort, InstanceView, StartCommand, Verb
from durable_ray.cli.hub.quiet import join_quietly
from durable_ray.client.client import Client
from durable_ray.client.json_views import history_json, instance_json
from durable_ray.client.steps import Blocking, Steps, operation
from durable_ray.config import ClientSettings
from durable_ray.orchestrations.history.codec import decode_events

#: Instances whose histories are read by one question.
_SCAN_PAGE = 100


class _Rows(Blocking):
    """Calls to the registry whose answers (rows, encoded payloads) are not decoded."""

    def __init__(self, client: Client) -> None:
        self._driver = client._driver
        self._router = client._router

    @operation
    def ask(self, method: str, *args: Any) -> Steps[Any]:
        """Call a method of the registry."""
        return (yield from self._router.registry(method, *args))

    @operation
    def ended(self, instance_id: str, seconds: float) -> Steps[str]:
        """Its final status, "absent", or "" if it has not ended."""
        ending = yield from self._router.wait(instance_id, seconds)
        return ending.status if ending else ""


class RayHub:
    """A `HubPort` over a blocking client."""

    def __init__(self, client: Client, where: Mapping[str, str]) -> None:
        self.where = where
        self.client = client
        self._rows = _Rows(client)

    def start(self, order: StartCommand, inputs: Sequence[Any], instance_ids: Sequence[str | None]) -> list[str]:
        """See `HubPort.start`."""
        options: dict[str, Any] = {
            "if_exists": order.if_exists,
            "start_at": order.start_at,
            "tags": order.tags,
            "placement": order.placement,
            "version": order.version,
            "priority": order.priority,
        }
        if len(inputs) == 1:
            handle = self.client.start_new(order.name, inputs[0], instance_id=instance_ids[0], **options)
            return [handle.instance_id]
        if any(instance_ids):
            chosen = [instance_id for instance_id in instance_ids if instance_id]
            handles = self.client.start_many(order.name, inputs, instance_ids=chosen, **options)
        else:
            handles = self.client.start_many(order.name, inputs, **options)
        return [handle.instance_id for handle in handles]

    def get(self, instance_id: str, *, history: bool = False) -> InstanceView | None:
        """See `HubPort.get`."""
        found = self._rows.ask("row", instance_id, history)
        if found is None:
            return None
        row, chunks = found
        return _view(row, history_json(e for chunk in chunks for e in decode_events(chunk)) if history else None)

    def page(self, wanted: InstanceQuery, size: int, token: str | None = None) -> tuple[list[InstanceView], str | None]:
        """See `HubPort.page`."""
        page: Page = self._rows.ask("query", wanted, size, token)
        return [_view(row) for row in page.rows], page.token

    def count(self, wanted: InstanceQuery) -> int:
        """See `HubPort.count`."""
        return int(self._rows.ask("count", wanted))

    def counts(self) -> Mapping[tuple[str, str], int]:
        """See `HubPort.counts`."""
        found: Mapping[tuple[str, str], int] = self._rows.ask("counts")
        return found

    def wait(self, instance_id: str, seconds: float) -> bool:
        """See `HubPort.wait`."""
        status = self._rows.ended(instance_id, seconds)
        if status == "absent":
            raise InstanceNotFound(instance_id)
        return bool(status)

    def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        """See `HubPort.raise_event`."""
        self.client.raise_event(instance_id, name, data)

    def control(
        self,
        instance_id: str,
        verb: Verb,
        reason: str | None = None,
        *,
        recursive: bool = False,
        version: Literal["latest"] | None = None,
    ) -> None:
        """See `HubPort.control`."""
        if verb == "terminate":
            self.client.terminate(instance_id, reason, recursive=recursive)
        elif verb == "rewind":
            self.client.rewind(instance_id, reason, version=version)
        else:
            getattr(self.client, verb)(instance_id, reason)

    def restart(self, instance_id: str, *, new_id: bool) -> str:
        """See `HubPort.restart`."""
        return self.client.restart(instance_id, restart_with_new_instance_id=new_id).instance_id

    def purge(self, instance_id: str, *, recursive: bool = False) -> int:
        """See `HubPort.purge`."""
        return self.client.purge(instance_id, recursive=recursive)

    def purge_by(self, wanted: InstanceQuery, *, recursive: bool, progress: Callable[[int], object]) -> int:
        """See `HubPort.purge_by`."""
        return self.client._driver.run(self.client._purge_by(wanted, recursive, progress=progress)).deleted

    def damaged(self, most: int) -> Iterator[tuple[str, str]]:
        """Of so many unfinished instances those whose stored history cannot be trusted, with what is wrong."""
        token: str | None = None
        for _ in range(0, most, _SCAN_PAGE):
            found, token = self._rows.ask("damaged", _SCAN_PAGE, token)
            yield from found
            if token is None:
                return

    def gateway(self) -> str | None:
        """Where the hub's HTTP gateway listens, if one runs."""
        found = self._rows.ask("gateway")
        return None if found is None else str(found.base_url)

    def definitions(self) -> list[Deployed]:
        """See `HubPort.definitions`."""
        newest = {(row.kind, row.name, row.version): row for row in self._rows.ask("definitions")}
        return [Deployed(row.kind, row.name, row.version, row.code_id, row.how) for row in newest.values()]


#: For Ray: the cluster that runs on this machine, and never a new one.
HERE = "auto"


def open_ray_hub(settings: ClientSettings) -> RayHub:
    """Reach the hub over Ray, whatever gateway is named. Raises what `Client` raises."""
    address = ray_address(settings)
    try:
        join_quietly(address)
        client = Client(address, hub=settings.hub, store=settings.store)
    except HubUnavailable as error:
        if address != HERE:
            raise
        raise no_ray_here() from error
    info = client._link.info
    where = {
        "hub": info.hub,
        "store": shown_url(info.store),
        "Ray": "on this machine" if address == HERE else address,
    }
    return RayHub(client, where)


def ray_address(settings: ClientSettings) -> str:
    """The cluster that is named; else the one that `up` started here; else any that runs here."""
    if settings.address:
        return settings.address
    head = noted()
    return head.address if head else HERE


def no_ray_here() -> CommandError:
    """The error where no cluster was named and none runs."""
    return CommandError(
        Exit.UNAVAILABLE,
        "no Ray cluster is running on this machine",
        "durable-ray up starts one; --address names another machine's, --url a gateway",
    )


def need_ray(hub: HubPort, what: str) -> RayHub:
    """The hub over Ray, for what a gateway does not do."""
    if isinstance(hub, RayHub):
        return hub
    raise usage(
        f"{what} needs the cluster: code never travels over HTTP", "without --url (DURABLE_RAY_URL), on the cluster"
    )


def _view(row: InstanceRow, history: list[dict[str, Any]] | None = None) -> InstanceView:
    due = None if row.next_due is None else moment(row.next_due)
    return InstanceView.of(instance_json(row), history, next_due=due, outstanding=row.outstanding)
