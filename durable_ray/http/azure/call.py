"""One request to the management API: what every route needs to answer it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from durable_ray.actors.store.records import InstanceRow
from durable_ray.client.operations.bounds import shown
from durable_ray.client.raw_hub import RawHub
from durable_ray.http.answers import answer, empty
from durable_ray.http.azure.errors import BadRequest
from durable_ray.http.azure.shapes import check_status, output_of, status_object
from durable_ray.http.limits import PerKey
from durable_ray.http.requests import Params, body_of, is_json, url_of, value_from_outside
from durable_ray.http.settings import GatewaySettings

#: Longest reason or event name in characters.
_MAX_TEXT = 4_000


@dataclass(frozen=True, slots=True)
class ManagementCall:
    """A request. `rpc`: it came by the RPC base, whose callers encode JSON twice and do not page."""

    raw_hub: RawHub
    settings: GatewaySettings
    request: Request
    params: Params
    rpc: bool
    waits: PerKey

    async def body(self) -> Any:
        """The JSON value of the body; None if it is empty. Raises BadRequest, PayloadError."""
        body = await body_of(self.request, self.settings.max_body_bytes)
        if body and not is_json(self.request):
            raise BadRequest("Only application/json request content is supported")
        return value_from_outside(body, twice=self.rpc)

    def check_hub(self) -> None:
        """Refuse a request that names another task hub in `taskHub`: its instance of that ID is another. Raises BadRequest."""
        given = self.params.text("taskHub")
        if given is not None and given.lower() != self.raw_hub.hub.lower():
            raise BadRequest(f"this gateway serves the task hub {self.raw_hub.hub!r}, not {shown(given)}")

    def reason(self) -> str | None:
        """The `reason` parameter, None if there is none. Raises BadRequest."""
        given = self.params.text("reason")
        return None if given is None else clean_text("reason", given)

    def started(self, instance_id: str) -> Response:
        """202: where to ask for this instance."""
        flag = self.params.flag("returnInternalServerErrorOnFailure", False)
        body, headers = check_status(self.request.scope, self.raw_hub.hub, instance_id, failure_is_500=flag)
        return answer(body, 202, headers)

    def waiting(self) -> AbstractContextManager[None]:
        """Holds one of the places for requests that wait; taken before anything is started. Raises TooMany."""
        return self.waits.one_more(self.request.scope)

    async def outcome(self, instance_id: str, seconds: float, *, failure_is_500: bool) -> Response:
        """200 with the output once it has ended, 202 as of a start if it has not after `seconds`."""
        ending = await self.raw_hub.wait(instance_id, min(seconds, self.settings.max_wait))
        if ending is None:
            return self.started(instance_id)
        row = await self.raw_hub.row(instance_id, "all")
        if row.status == "Completed":
            return answer(output_of(row))
        return self.standing(row, failure_is_500=failure_is_500)

    def standing(self, row: InstanceRow, *, failure_is_500: bool, **shown: Any) -> Response:
        """An instance's status: 200 if it has ended, 202 with where to ask again if not."""
        body = status_object(row, **shown)
        if row.finished:
            return answer(body, 500 if row.status == "Failed" and failure_is_500 else 200)
        return answer(body, 202, {"Location": url_of(self.request.scope), "Retry-After": "5"})

    @staticmethod
    def accepted() -> Response:
        """202: it will be done."""
        return empty(202)


def clean_text(what: str, text: str) -> str:
    """A reason or a name without characters that a log or a terminal would obey. Raises BadRequest."""
    if len(text) > _MAX_TEXT:
        raise BadRequest(f"the {what} has at most {_MAX_TEXT:,} characters, this one has {len(text):,}")
    for char in text:
        if (char < " " and char not in "\t\r\n") or char == "\x7f" or "\ud800" <= char <= "\udfff":
            raise BadRequest(f"the {what} contains the control character {char!r}")
    return text
