"""The hub reached over Ray: rows as the registry keeps them, opened without unpickling anything.

A command never starts a Ray by itself as `durable_ray.Client` does: it would revive every instance for the second that
it takes to ask for a status, and end with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic_core import from_json

from durable_ray.actors.errors import HubUnavailable, InstanceNotFound
from durable_ray.actors.instances.status import failure_of, micros, moment
from durable_ray.actors.store.records import InstanceQuery, InstanceRow, Page, scheduled
from durable_ray.actors.store.urls import shown_url
from durable_ray.cli.exits import CommandError, Exit, usage
from durable_ray.cli.hub.local_ray import noted
from durable_ray.cli.hub.port import Deployed, Happening, HubPort, InstanceFilter, InstanceView, StartCommand, Verb
from durable_ray.cli.hub.quiet import join_quietly
from durable_ray.cli.naming import named_happenings
from durable_ray.client.client import Client
from durable_ray.client.steps import Blocking, Steps, operation
from durable_ray.config import ClientSettings
from durable_ray.orchestrations.history.codec import decode_events
from durable_ray.orchestrations.history.events import Event, Payload, TurnStarted
from durable_ray.orchestrations.values.payloads import is_pickled

#: Instances whose histories are read by one question.
_LOOKED_THROUGH = 100


class _Rows(Blocking):
    """What the registry answers, before a client makes Python objects of it."""

    def __init__(self, client: Client) -> None:
        self._driver = client._driver
        self._router = client._router

    @operation
    def ask(self, method: str, *args: Any) -> Steps[Any]:
        """Call a method of the registry."""
        return (yield from self._router.registry(method, *args))

    @operation
    def ended(self, instance_id: str, seconds: float) -> Steps[str]:
        """The word of its end, "absent", or "" if it goes on."""
        ending = yield from self._router.wait(instance_id, seconds)
        return ending.status if ending else ""


class RayHub:
    """A `Hub` over a blocking client."""

    def __init__(self, client: Client, where: Mapping[str, str]) -> None:
        self.where = where
        self.client = client
        self._rows = _Rows(client)

    def start(self, order: StartCommand, inputs: Sequence[Any], instance_ids: Sequence[str | None]) -> list[str]:
        """See `Hub.start`."""
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
        """See `Hub.get`."""
        found = self._rows.ask("row", instance_id, history)
        if found is None:
            return None
        row, chunks = found
        return instance_of(row, happenings(e for chunk in chunks for e in decode_events(chunk)) if history else None)

    def page(
        self, wanted: InstanceFilter, size: int, token: str | None = None
    ) -> tuple[list[InstanceView], str | None]:
        """See `Hub.page`."""
        page: Page = self._rows.ask("query", _query(wanted), size, token)
        return [instance_of(row) for row in page.rows], page.token

    def count(self, wanted: InstanceFilter) -> int:
        """See `Hub.count`."""
        return int(self._rows.ask("count", _query(wanted)))

    def counts(self) -> Mapping[tuple[str, str], int]:
        """See `Hub.counts`."""
        found: Mapping[tuple[str, str], int] = self._rows.ask("counts")
        return found

    def wait(self, instance_id: str, seconds: float) -> bool:
        """See `Hub.wait`."""
        status = self._rows.ended(instance_id, seconds)
        if status == "absent":
            raise InstanceNotFound(instance_id)
        return bool(status)

    def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        """See `Hub.raise_event`."""
        self.client.raise_event(instance_id, name, data)

    def tell(
        self,
        instance_id: str,
        verb: Verb,
        reason: str | None = None,
        *,
        recursive: bool = False,
        version: Literal["latest"] | None = None,
    ) -> None:
        """See `Hub.tell`."""
        if verb == "terminate":
            self.client.terminate(instance_id, reason, recursive=recursive)
        elif verb == "rewind":
            self.client.rewind(instance_id, reason, version=version)
        else:
            getattr(self.client, verb)(instance_id, reason)

    def restart(self, instance_id: str, *, new_id: bool) -> str:
        """See `Hub.restart`."""
        return self.client.restart(instance_id, restart_with_new_instance_id=new_id).instance_id

    def purge(self, instance_id: str, *, recursive: bool = False) -> int:
        """See `Hub.purge`."""
        return self.client.purge(instance_id, recursive=recursive)

    def purge_by(self, wanted: InstanceFilter, *, recursive: bool, progress: Callable[[int], object]) -> int:
        """See `Hub.purge_by`."""
        result = self.client.purge_by(
            recursive=recursive,
            progress=progress,
            created_time_from=wanted.created_from,
            created_time_to=wanted.created_to,
            runtime_status=wanted.statuses or None,
            name=wanted.names or None,
            instance_id_prefix=wanted.prefix,
            tags=wanted.tags,
            parent_instance_id=wanted.parent,
        )
        return result.deleted

    def damaged(self, most: int) -> Iterator[tuple[str, str]]:
        """Of so many unfinished instances those whose stored history cannot be trusted, with what is wrong."""
        token: str | None = None
        for _ in range(0, most, _LOOKED_THROUGH):
            found, token = self._rows.ask("damaged", _LOOKED_THROUGH, token)
            yield from found
            if token is None:
                return

    def gateway(self) -> str | None:
        """Where the hub's HTTP gateway listens, if one runs."""
        found = self._rows.ask("gateway")
        return None if found is None else str(found.base_url)

    def definitions(self) -> list[Deployed]:
        """See `Hub.definitions`."""
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
    """What to say where nobody named a cluster and none runs."""
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


def _query(wanted: InstanceFilter) -> InstanceQuery:
    return InstanceQuery(
        created_from=None if wanted.created_from is None else micros(wanted.created_from),
        created_to=None if wanted.created_to is None else micros(wanted.created_to),
        statuses=wanted.statuses,
        names=wanted.names,
        id_prefix=wanted.prefix,
        tags=wanted.tags,
        parent_id=wanted.parent,
        descending=wanted.descending,
    )


def instance_of(row: InstanceRow, history: tuple[Happening, ...] | None = None) -> InstanceView:
    """A row, with its payloads as JSON values."""
    failure = failure_of(row.failure)
    return InstanceView(
        instance_id=row.instance_id,
        name=row.name,
        status=row.status,
        created=moment(row.created_at),
        updated=moment(row.updated_at),
        input=opened(row.input),
        output=str(failure) if failure else opened(row.output),
        custom_status=opened(row.custom_status),
        started=None if row.started_at is None else moment(row.started_at),
        completed=None if row.completed_at is None else moment(row.completed_at),
        scheduled_start=None if (start_at := scheduled(row.start_at)) is None else moment(start_at),
        execution_id=row.execution_id,
        version=row.version,
        parent=row.parent.instance_id if row.parent else None,
        placement=row.placement,
        tags=dict(row.tags),
        priority=row.priority,
        recoveries=row.recoveries,
        next_due=None if row.next_due is None else moment(row.next_due),
        outstanding=row.outstanding,
        waiting_reason=row.waiting_reason,
        failure=dataclasses.asdict(failure) if failure else None,
        history=history,
    )


def opened(payload: Payload | None) -> Any:
    """A payload as a JSON value. A pickle stays closed."""
    if payload is None:
        return None
    if is_pickled(payload):
        return {"$pickled": True, "bytes": len(payload) * 3 // 4}
    return from_json(payload)


def happenings(events: Iterable[Event]) -> tuple[Happening, ...]:
    """A history, with its payloads as JSON values."""
    return named_happenings(_dated(events))


def _dated(events: Iterable[Event]) -> Iterator[tuple[datetime | None, str, dict[str, Any]]]:
    at = None
    for event in events:
        if isinstance(event, TurnStarted):
            at = moment(event.at)
        yield at, type(event).__name__, {field.name: _shown(event, field) for field in dataclasses.fields(event)}


def _shown(event: Event, field: dataclasses.Field[Any]) -> Any:
    value = getattr(event, field.name)
    if str(field.type).startswith("Payload"):
        return opened(value)
    if field.name in _TIMES:
        return moment(value) if value else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


_TIMES = frozenset({"at", "began", "fire_at", "retry_at"})
