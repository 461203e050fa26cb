"""The page's way to the hub: `/api/v1` of the same gateway, in process, with the visitor's key and its permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel
from starlette.types import ASGIApp

from durable_ray.http.answers import written
from durable_ray.http.api.bulk import BulkResult
from durable_ray.http.api.models import (
    Counts,
    Definitions,
    Deleted,
    History,
    Hub,
    Instance,
    InstanceList,
    Problem,
    StartedInstance,
)
from durable_ray.http.api.overview import CreatedHistogram
from durable_ray.http.keys import Key

M = TypeVar("M", bound=BaseModel)

#: Query parameters, in order; a name may come several times.
Pairs = Sequence[tuple[str, str]]
#: A body that is left out, which is another thing than null.
NO_BODY: Any = object()


class ApiRefused(Exception):
    """What was asked of `/api/v1` was refused."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(status, title, detail)
        self.status, self.title, self.detail = status, title, detail

    def __str__(self) -> str:
        return f"{self.title}: {self.detail}"


class ApiTransport:
    """The API as an HTTP client without a socket; one for all visitors."""

    def __init__(self, api: ASGIApp) -> None:
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        # Nothing of the environment (proxies, .netrc) concerns a call that stays in this process.
        self._http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1", trust_env=False)

    def with_key(self, key: Key) -> ApiClient:
        """The API as the bearer of this key may use it."""
        return ApiClient(self._http, key)


class ApiClient:
    """`/api/v1` with one key. Everything raises ApiRefused where the API answers with an error."""

    def __init__(self, http: httpx.AsyncClient, key: Key) -> None:
        self._http = http
        self._headers = {"x-functions-key": key.secret}

    async def instances(self, filters: Pairs, limit: int, token: str | None) -> InstanceList:
        """A page of instances, without input and output."""
        more = [("limit", str(limit)), ("show_payloads", "false"), *([("token", token)] if token else [])]
        return await self._read(InstanceList, "/instances", [*filters, *more])

    async def instance(self, instance_id: str, wait: float = 0) -> Instance:
        """One instance; with `wait` once it has ended, or after so many seconds."""
        return await self._read(Instance, _path(instance_id), [("wait", str(wait))] if wait else [])

    async def history(self, instance_id: str) -> History:
        """The events of its current execution."""
        return await self._read(History, f"{_path(instance_id)}/history")

    async def histogram(self, filters: Pairs, bins: int) -> CreatedHistogram:
        """How many match, by time of creation and status."""
        return await self._read(CreatedHistogram, "/histogram", [*filters, ("bins", str(bins))])

    async def counts(self) -> Counts:
        """How many instances there are, by orchestrator and status."""
        return await self._read(Counts, "/counts")

    async def definitions(self) -> Definitions:
        """All that is deployed."""
        return await self._read(Definitions, "/definitions")

    async def hub(self) -> Hub:
        """The hub behind the gateway."""
        return await self._read(Hub, "/hub")

    async def start(self, body: Mapping[str, Any]) -> str:
        """Start an instance; its ID."""
        answer = await self._call("POST", "/instances", body)
        return StartedInstance.model_validate_json(answer.content).instance_ids[0]

    async def act(self, instance_id: str, action: str, body: Any = NO_BODY) -> None:
        """Do something to an instance: the last parts of the path, and the body."""
        await self._call("POST", f"{_path(instance_id)}/{action}", body)

    async def restart(self, instance_id: str, new_id: bool) -> str:
        """Start its orchestrator with its input once more; the ID."""
        answer = await self._call("POST", f"{_path(instance_id)}/restart", {"new_instance_id": new_id})
        return StartedInstance.model_validate_json(answer.content).instance_ids[0]

    async def purge(self, instance_id: str, recursive: bool) -> int:
        """Delete a finished instance; how many were deleted."""
        params = [("recursive", "true" if recursive else "false")]
        answer = await self._call("DELETE", _path(instance_id), params=params)
        return Deleted.model_validate_json(answer.content).deleted

    async def bulk(self, action: str, body: Mapping[str, Any]) -> BulkResult:
        """Do something to many instances."""
        return BulkResult.model_validate_json((await self._call("POST", f"/bulk/{action}", body)).content)

    async def _read(self, model: type[M], path: str, params: Pairs = ()) -> M:
        return model.model_validate_json((await self._call("GET", path, params=params)).content)

    async def _call(self, method: str, path: str, body: Any = NO_BODY, params: Pairs = ()) -> httpx.Response:
        headers, content = self._headers, None
        if body is not NO_BODY:
            headers, content = {**headers, "content-type": "application/json"}, written(body)
        answer = await self._http.request(method, path, params=list(params), headers=headers, content=content)
        if answer.is_error:
            raise _refused(answer)
        return answer


def segment(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def _path(instance_id: str) -> str:
    return f"/instances/{segment(instance_id)}"


def _refused(answer: httpx.Response) -> ApiRefused:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValueError:
        return ApiRefused(answer.status_code, "The hub does not answer as expected", f"status {answer.status_code}")
    return ApiRefused(answer.status_code, problem.title, problem.detail)
