"""The hub reached over HTTP: the resources of a gateway, its problems turned back into the errors they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx

from durable_ray.actors.errors import (
    HubUnavailable,
    InstanceAlreadyExists,
    InstanceFinished,
    InstanceNotFound,
    InvalidState,
    ScheduleAlreadyExists,
    ScheduleChanged,
    ScheduleNotFound,
    UnknownDefinition,
)
from durable_ray.actors.instances.status import moment
from durable_ray.actors.store.contract import InvalidToken
from durable_ray.actors.store.records import FINISHED, InstanceQuery
from durable_ray.actors.store.urls import default_store, shown_url
from durable_ray.cli.exits import CommandError, Exit, usage
from durable_ray.cli.hub.port import Deployed, InstanceView, ScheduleDocument, ScheduleVerb, Verb
from durable_ray.client.operations.starting import StartKeywords
from durable_ray.client.schedule_documents import ScheduleQuery, known_schedule
from durable_ray.config import ClientSettings
from durable_ray.http.keys import Access, kept_keyring, keys_path
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule

_SECONDS = 60.0
#: A longer wait is asked for in slices, so that a dead connection is noticed.
_SLICE = 20.0
_PAGE = 500


def open_http_hub(settings: ClientSettings) -> HttpHub:
    """Reach the gateway that the settings name."""
    parts = urlsplit(settings.url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise usage(
            f"{shown_url(settings.url or '')!r} is no address of a gateway", "write --url http://127.0.0.1:7071"
        )
    key = settings.key or (kept_key(settings) if parts.hostname in ("127.0.0.1", "localhost", "::1") else None)
    headers = {"x-functions-key": key} if key else {}
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return HttpHub(httpx.Client(base_url=base, headers=headers, timeout=_SECONDS))


def kept_key(settings: ClientSettings) -> str | None:
    """The key that a gateway on this machine keeps for this user."""
    path = keys_path(settings.hub, settings.store or default_store(settings.hub))
    if path is None or not path.exists():
        return None
    found = kept_keyring(path).first(Access.FULL)
    return found.secret if found else None


class _Asking:
    """Asks a gateway, and turns its problems back into the errors that they were."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _ask(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None, subject: str = ""
    ) -> Any:
        content = {"json": body} if method in ("POST", "PUT") else {}
        try:
            answer = self._client.request(method, f"/api/v1{path}", params=query, **content)
        except httpx.TransportError as error:
            raise HubUnavailable(f"no gateway answers at {shown_url(str(self._client.base_url))} ({error})") from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _error(answer, subject)


class HttpHub(_Asking):
    """A `HubPort` over HTTP."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(client)
        self.schedules = HttpSchedules(client)

    @property
    def where(self) -> Mapping[str, str]:
        """See `HubPort.where`."""
        return {"hub": str(self._ask("GET", "/hub")["hub"]), "gateway": shown_url(str(self._client.base_url))}

    def start(self, orchestrator: str, value: Any, instance_id: str | None, options: StartKeywords) -> str:
        """See `HubPort.start`."""
        body = _start_body(orchestrator, options) | {"input": value, "instance_id": instance_id}
        answer = self._ask("POST", "/instances", body, subject=instance_id or "")
        return str(answer["instance_ids"][0])

    def start_many(self, orchestrator: str, values: Sequence[Any], options: StartKeywords) -> list[str]:
        """See `HubPort.start_many`."""
        answer = self._ask("POST", "/bulk/start", _start_body(orchestrator, options) | {"inputs": list(values)})
        return [str(instance_id) for instance_id in answer["instance_ids"]]

    def get(self, instance_id: str, *, history: bool = False) -> InstanceView | None:
        """See `HubPort.get`."""
        try:
            shown = self._ask("GET", _path(instance_id), subject=instance_id)
            events = self._ask("GET", _path(instance_id, "history"), subject=instance_id) if history else None
        except InstanceNotFound:
            return None
        return InstanceView.of(shown, events and events["events"])

    def page(self, wanted: InstanceQuery, size: int, token: str | None = None) -> tuple[list[InstanceView], str | None]:
        """See `HubPort.page`."""
        query = _query(wanted) | {"limit": size} | ({"token": token} if token else {})
        answer = self._ask("GET", "/instances", query=query)
        return [InstanceView.of(one) for one in answer["instances"]], answer["continuation_token"]

    def count(self, wanted: InstanceQuery) -> int:
        """See `HubPort.count`."""
        return int(self._ask("GET", "/count", query=_query(wanted))["count"])

    def counts(self) -> Mapping[tuple[str, str], int]:
        """See `HubPort.counts`."""
        return {(one["name"], one["status"]): one["count"] for one in self._ask("GET", "/counts")["by_name"]}

    def wait(self, instance_id: str, seconds: float) -> bool:
        """See `HubPort.wait`."""
        answer = self._ask("GET", _path(instance_id), query={"wait": min(seconds, _SLICE)}, subject=instance_id)
        return answer["status"] in FINISHED

    def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        """See `HubPort.raise_event`."""
        self._ask("POST", _path(instance_id, "events", name), data, subject=instance_id)

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
        more: dict[str, dict[str, Any]] = {"terminate": {"recursive": recursive}, "rewind": {"version": version}}
        body = {"reason": reason} | more.get(verb, {})
        self._ask("POST", _path(instance_id, verb), body, subject=instance_id)

    def restart(self, instance_id: str, *, new_id: bool) -> str:
        """See `HubPort.restart`."""
        answer = self._ask("POST", _path(instance_id, "restart"), {"new_instance_id": new_id}, subject=instance_id)
        return str(answer["instance_ids"][0])

    def purge(self, instance_id: str, *, recursive: bool = False) -> int:
        """See `HubPort.purge`."""
        try:
            answer = self._ask("DELETE", _path(instance_id), query={"recursive": recursive}, subject=instance_id)
        except (InstanceNotFound, InvalidState):
            return 0
        return int(answer["deleted"])

    def purge_by(self, wanted: InstanceQuery, *, recursive: bool, progress: Callable[[int], object]) -> int:
        """See `HubPort.purge_by`."""
        body = {"select": {"filter": _query(wanted)}, "recursive": recursive, "limit": _PAGE}
        deleted = 0
        while True:
            answer = self._ask("POST", "/bulk/purge", body)
            deleted += int(answer["done"])
            progress(deleted)
            if not answer["more"]:
                return deleted

    def definitions(self) -> list[Deployed]:
        """See `HubPort.definitions`."""
        found = sorted(self._ask("GET", "/definitions")["definitions"], key=lambda one: int(one["revision"]))
        newest = {(one["kind"], one["name"], one["version"]): one for one in found}
        return [Deployed(*(one[n] for n in ("kind", "name", "version", "code_id", "how"))) for one in newest.values()]


class HttpSchedules(_Asking):
    """A `SchedulePort` over HTTP."""

    def create(self, schedule_id: str, schedule: ScheduleDocument, *, paused: bool, note: str) -> ScheduleDocument:
        """See `SchedulePort.create`."""
        body = {"schedule_id": schedule_id, "schedule": schedule, "paused": paused, "note": note}
        return self._schedule("POST", "/schedules", schedule_id, body)

    def get(self, schedule_id: str) -> ScheduleDocument:
        """See `SchedulePort.get`."""
        return self._schedule("GET", _schedule_path(schedule_id), schedule_id)

    def page(
        self, wanted: ScheduleQuery, size: int, token: str | None = None
    ) -> tuple[list[ScheduleDocument], str | None]:
        """See `SchedulePort.page`."""
        query = {
            "id_prefix": wanted.id_prefix or None,
            "status": wanted.status,
            "tag": [f"{key}={value}" for key, value in wanted.tags.items()] or None,
            "limit": size,
            "token": token,
        }
        answer = self._ask("GET", "/schedules", query={key: value for key, value in query.items() if value is not None})
        return answer["schedules"], answer["continuation_token"]

    def update(self, schedule_id: str, schedule: ScheduleDocument, version: int) -> ScheduleDocument:
        """See `SchedulePort.update`."""
        body = {"schedule": schedule, "version": version}
        return self._schedule("PUT", _schedule_path(schedule_id), schedule_id, body)

    def change(self, schedule_id: str, verb: ScheduleVerb, **more: Any) -> ScheduleDocument:
        """See `SchedulePort.change`."""
        body = {name: _time(value) if isinstance(value, datetime) else value for name, value in more.items()}
        return self._schedule("POST", f"{_schedule_path(schedule_id)}/{verb}", schedule_id, body)

    def delete(self, schedule_id: str) -> None:
        """See `SchedulePort.delete`."""
        self._ask("DELETE", _schedule_path(schedule_id), subject=schedule_id)

    def _schedule(self, method: str, path: str, schedule_id: str, body: Any = None) -> ScheduleDocument:
        document: ScheduleDocument = self._ask(method, path, body, subject=schedule_id)
        return document


def _error(answer: httpx.Response, subject: str) -> Exception:
    """The error that a gateway's problem was; `subject` is the ID of what was asked about."""
    try:
        problem = answer.json()
        title, detail = str(problem["title"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        title, detail = "", f"the gateway answers {answer.status_code}: {answer.text[:200]}"
    status = answer.status_code
    if status in (401, 403):
        hint = "--key, DURABLE_RAY_KEY, or key= in the settings file" if status == 401 else "use a key that may do this"
        return CommandError(Exit.REFUSED, detail, hint)
    if known := _TITLES.get(title):
        return known(subject, detail)
    if status == 404:
        return UnknownDefinition(detail)
    if status == 409:
        return InvalidState(detail)
    if status in (400, 413, 415, 422):
        return usage(detail)
    return HubUnavailable(detail) if status in (502, 503, 504) else CommandError(Exit.FAILURE, detail)


#: By a problem's title: the error that it was, of the ID that was asked about and the problem's text.
_TITLES: dict[str, Callable[[str, str], Exception]] = {
    "No such instance": lambda subject, _: InstanceNotFound(subject),
    "The instance ID is taken": lambda subject, _: InstanceAlreadyExists(subject),
    "The instance has finished": lambda subject, detail: InstanceFinished(
        subject, detail.partition("(")[2].partition(")")[0]
    ),
    "The token does not continue this query": lambda _, detail: InvalidToken(detail),
    "No such schedule": lambda subject, _: ScheduleNotFound(subject),
    "The schedule's ID is taken": lambda subject, _: ScheduleAlreadyExists(subject),
    "The schedule was changed meanwhile": lambda _, detail: ScheduleChanged(detail),
    "No schedule can be like this": lambda _, detail: InvalidSchedule(detail),
}


def _schedule_path(schedule_id: str) -> str:
    known_schedule(schedule_id)
    return f"/schedules/{quote(schedule_id, safe='')}"


def _path(instance_id: str, *more: str) -> str:
    return "/instances/" + "/".join(quote(part, safe="") for part in (instance_id, *more))


def _start_body(orchestrator: str, options: StartKeywords) -> dict[str, Any]:
    given = {name: _time(value) if isinstance(value, datetime) else value for name, value in options.items()}
    return {"orchestrator": orchestrator, **given}


def _query(wanted: InstanceQuery) -> dict[str, Any]:
    bounds = ("created_from", "created_to", "updated_from", "updated_to")
    query: dict[str, Any] = {
        "status": list(wanted.statuses) or None,
        "name": list(wanted.names) or None,
        "id_prefix": wanted.id_prefix or None,
        "tag": [f"{key}={value}" for key, value in wanted.tags.items()] or None,
        "parent_id": wanted.parent_id,
        "descending": wanted.descending or None,
    } | {bound: _bound(getattr(wanted, bound)) for bound in bounds}
    # An empty text is a value, which nothing may match; only None was left out.
    return {key: value for key, value in query.items() if value is not None}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _bound(at: int | None) -> str | None:
    return None if at is None else _time(moment(at))
