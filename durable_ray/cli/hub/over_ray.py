"""The hub reached over Ray: rows as the registry keeps them, opened without unpickling anything.

A command never starts a Ray by itself as `durable_ray.Client` does: it would revive every instance for the second that
it takes to ask for a status, and end with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from durable_ray.actors.errors import HubUnavailable, InstanceNotFound
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.instances.status import moment
from durable_ray.actors.instances.waits import Wait, waits_of
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import InstanceQuery, InstanceRow
from durable_ray.actors.store.urls import shown_url
from durable_ray.cli.exits import CommandError, Exit, usage
from durable_ray.cli.hub.local_ray import noted
from durable_ray.cli.hub.port import Deployed, HubPort, InstanceView, ScheduleDocument, ScheduleVerb, Verb
from durable_ray.cli.hub.quiet import join_quietly
from durable_ray.client.client import Client
from durable_ray.client.json_views import history_json, instance_json
from durable_ray.client.operations.starting import StartKeywords
from durable_ray.client.raw_hub import BlockingRawHub
from durable_ray.client.schedule_documents import ScheduleQuery, known_schedule, schedule_json
from durable_ray.client.schedule_view import ScheduleDescription
from durable_ray.config import ClientSettings

#: Instances whose histories are read by one question.
_SCAN_PAGE = 100


class RayHub:
    """A `HubPort` over a blocking client."""

    def __init__(self, client: Client, where: Mapping[str, str]) -> None:
        self.where = where
        self.client = client
        self._raw = BlockingRawHub(client)
        self.schedules = RaySchedules(client, self._raw)

    def start(self, orchestrator: str, value: Any, instance_id: str | None, options: StartKeywords) -> str:
        """See `HubPort.start`."""
        return self.client.start_new(orchestrator, value, instance_id=instance_id, **options).instance_id

    def start_many(self, orchestrator: str, values: Sequence[Any], options: StartKeywords) -> list[str]:
        """See `HubPort.start_many`."""
        return [handle.instance_id for handle in self.client.start_many(orchestrator, values, **options)]

    def get(self, instance_id: str, *, history: bool = False) -> InstanceView | None:
        """See `HubPort.get`."""
        try:
            facts = self._raw.waiting(instance_id, "all", history)
        except InstanceNotFound:
            return None
        events = history_json(restore(facts.loaded)[0]) if history else None
        return _view(facts.loaded.row, events, waits_of(facts))

    def page(self, wanted: InstanceQuery, size: int, token: str | None = None) -> tuple[list[InstanceView], str | None]:
        """See `HubPort.page`."""
        page = self._raw.ask(Registry.query, wanted, size, token)
        return [_view(row) for row in page.rows], page.token

    def count(self, wanted: InstanceQuery) -> int:
        """See `HubPort.count`."""
        return self._raw.ask(Registry.count, wanted)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """See `HubPort.counts`."""
        return self._raw.ask(Registry.counts)

    def wait(self, instance_id: str, seconds: float) -> bool:
        """See `HubPort.wait`."""
        ending = self._raw.wait(instance_id, seconds)
        if ending is not None and ending.status == "absent":
            raise InstanceNotFound(instance_id)
        return ending is not None

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
        match verb:
            case "terminate":
                self.client.terminate(instance_id, reason, recursive=recursive)
            case "suspend":
                self.client.suspend(instance_id, reason)
            case "resume":
                self.client.resume(instance_id, reason)
            case "rewind":
                self.client.rewind(instance_id, reason, version=version)

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
            found, token = self._raw.ask(Registry.damaged, _SCAN_PAGE, token)
            yield from found
            if token is None:
                return

    def gateway(self) -> str | None:
        """Where the hub's HTTP gateway listens, if one runs."""
        found = self._raw.ask(Registry.gateway)
        return None if found is None else found.base_url

    def definitions(self) -> list[Deployed]:
        """See `HubPort.definitions`."""
        newest = {(row.kind, row.name, row.version): row for row in self._raw.ask(Registry.definitions)}
        return [Deployed(row.kind, row.name, row.version, row.code_id, row.how) for row in newest.values()]


class RaySchedules:
    """A `SchedulePort` over a blocking client."""

    def __init__(self, client: Client, raw: BlockingRawHub) -> None:
        self._client = client
        self._raw = raw

    def create(self, schedule_id: str, schedule: ScheduleDocument, *, paused: bool, note: str) -> ScheduleDocument:
        """See `SchedulePort.create`."""
        return _document(self._raw.create_schedule(schedule_id, schedule, paused, note))

    def get(self, schedule_id: str) -> ScheduleDocument:
        """See `SchedulePort.get`."""
        return _document(self._raw.schedule(schedule_id))

    def page(
        self, wanted: ScheduleQuery, size: int, token: str | None = None
    ) -> tuple[list[ScheduleDocument], str | None]:
        """See `SchedulePort.page`."""
        found, token = self._raw.schedules(wanted, size, token)
        return [_document(one) for one in found], token

    def update(self, schedule_id: str, schedule: ScheduleDocument, version: int) -> ScheduleDocument:
        """See `SchedulePort.update`."""
        return _document(self._raw.update_schedule(schedule_id, schedule, version))

    def change(self, schedule_id: str, verb: ScheduleVerb, **more: Any) -> ScheduleDocument:
        """See `SchedulePort.change`."""
        known_schedule(schedule_id)
        match verb:
            case "pause":
                return _document(self._client.pause_schedule(schedule_id, **more))
            case "resume":
                return _document(self._client.resume_schedule(schedule_id, **more))
            case "trigger":
                return _document(self._client.trigger_schedule(schedule_id, **more))
            case "backfill":
                return _document(self._client.backfill_schedule(schedule_id, **more))

    def delete(self, schedule_id: str) -> None:
        """See `SchedulePort.delete`."""
        known_schedule(schedule_id)
        self._client.delete_schedule(schedule_id)


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


def _view(
    row: InstanceRow, history: list[dict[str, Any]] | None = None, waiting_for: Iterable[Wait] | None = None
) -> InstanceView:
    due = None if row.next_due is None else moment(row.next_due)
    shown = instance_json(row, waiting_for=waiting_for)
    return InstanceView.of(shown, history, next_due=due, outstanding=row.outstanding)


def _document(found: ScheduleDescription) -> ScheduleDocument:
    document: dict[str, Any] = to_jsonable_python(schedule_json(found))
    return document
