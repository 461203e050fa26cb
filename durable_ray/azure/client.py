"""Azure's `DurableOrchestrationClient`: its methods, names and arguments, on `durable_ray.AsyncClient`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from durable_ray.actors.errors import InstanceFinished, InstanceNotFound, UnknownDefinition
from durable_ray.azure.absent import EntityId, no_entities
from durable_ray.azure.statuses import DurableOrchestrationStatus, OrchestrationRuntimeStatus, PurgeHistoryResult
from durable_ray.client.client import AsyncClient
from durable_ray.client.operations.filters import Filters
from durable_ray.client.operations.gateway import HttpAnswer


class _NoSuchInstance(InstanceNotFound):
    """Raise Azure's text of an event's errors."""

    def __str__(self) -> str:
        return f"No instance with ID {self.instance_id} found."


class _Gone(InstanceFinished):
    """Raise the error with the text of Azure's client."""

    def __str__(self) -> str:
        return f"Instance with ID {self.instance_id} is gone: either completed or failed"


@dataclass(frozen=True)
class Answer(HttpAnswer):
    """An answer with `get_body()`; to azure-functions, where that is imported, it is one of its responses."""

    mimetype = "application/json"
    charset = "utf-8"

    @classmethod
    def of(cls, answer: HttpAnswer) -> Answer:
        """The same answer."""
        functions: Any = sys.modules.get("azure.functions")
        if functions is not None:
            functions.HttpResponse.register(cls)
        return cls(answer.status_code, answer.body, {"Content-Type": cls.mimetype, **answer.headers})

    def get_body(self) -> bytes:
        """The body as it is sent: text as it is, everything else as JSON."""
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


class _Lives:
    """Start, query and manage instances, as Azure's `DurableOrchestrationClient`."""

    def __init__(self, context: str | AsyncClient | None = None, function_invocation_id: str | None = None) -> None:
        # Azure gives its binding's JSON here; all that matters of it is which hub, and that is the client's business.
        named = isinstance(context, str) and not context.lstrip().startswith("{")
        self._client = context if isinstance(context, AsyncClient) else AsyncClient(hub=str(context) if named else None)

    async def start_new(
        self,
        orchestration_function_name: Any,
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
    ) -> str:
        """Start an orchestration; its ID. Raises as `Client.start_new`; an ID that is taken is refused."""
        try:
            handle = await self._client.start_new(
                orchestration_function_name, client_input, instance_id=instance_id, version=version
            )
        except UnknownDefinition as error:
            raise UnknownDefinition(
                f"The function '{orchestration_function_name}' doesn't exist, is disabled, or is not an orchestrator "
                f"function. Additional info: {error}"
            ) from error
        return handle.instance_id

    async def get_status(
        self, instance_id: str, show_history: bool = False, show_history_output: bool = False, show_input: bool = False
    ) -> DurableOrchestrationStatus:
        """One instance; false if there is none."""
        status = await self._client.get_status(instance_id, show_input=show_input)
        history = await self._history(instance_id, show_history_output, show_input) if show_history else None
        return DurableOrchestrationStatus(status, history)

    async def _history(self, instance_id: str, outputs: bool, inputs: bool) -> list[dict[str, Any]] | None:
        return await self._client.get_history(instance_id, show_output=outputs, show_input=inputs)

    async def get_status_all(self) -> list[DurableOrchestrationStatus]:
        """All instances."""
        return [DurableOrchestrationStatus(status) for status in await self._client.list_instances()]

    async def get_status_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: Sequence[OrchestrationRuntimeStatus] | None = None,
        instance_id_prefix: str | None = None,
    ) -> list[DurableOrchestrationStatus]:
        """The instances that match."""
        filters = _filters(created_time_from, created_time_to, runtime_status, instance_id_prefix)
        return [DurableOrchestrationStatus(status) for status in await self._client.list_instances(**filters)]

    async def raise_event(
        self,
        instance_id: str,
        event_name: str,
        event_data: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Send an event. Raises as `Client.raise_event`, with Azure's texts. The hub is the client's own."""
        try:
            await self._client.raise_event(instance_id, event_name, event_data)
        except InstanceNotFound as error:
            raise _NoSuchInstance(error.instance_id) from None
        except InstanceFinished as error:
            raise _Gone(error.instance_id, error.status) from None

    async def suspend(self, instance_id: str, reason: str = "") -> None:
        """Pause an instance; one that has finished is left alone, as Azure does."""
        try:
            await self._client.suspend(instance_id, reason)
        except InstanceFinished:
            return

    async def resume(self, instance_id: str, reason: str = "") -> None:
        """Let an instance go on; one that has finished is left alone."""
        try:
            await self._client.resume(instance_id, reason)
        except InstanceFinished:
            return

    async def terminate(self, instance_id: str, reason: str = "") -> None:
        """End an instance; one that has finished is left alone."""
        try:
            await self._client.terminate(instance_id, reason)
        except InstanceFinished:
            return


class DurableOrchestrationClient(_Lives):
    """Azure's client.

    Args:
        context: the name of a hub, an `AsyncClient`, or Azure's binding (its JSON text, which is not looked into).
        function_invocation_id: taken, and not needed.

    `task_hub_name` and `connection_name` are taken wherever Azure takes them, and change nothing: the hub is the client's.
    """

    async def rewind(
        self, instance_id: str, reason: str = "", task_hub_name: str | None = None, connection_name: str | None = None
    ) -> None:
        """Run again what failed. Raises as `Client.rewind`."""
        await self._client.rewind(instance_id, reason)

    async def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> str:
        """Start anew; the ID of the new instance."""
        handle = await self._client.restart(instance_id, restart_with_new_instance_id=restart_with_new_instance_id)
        return handle.instance_id

    async def purge_instance_history(self, instance_id: str) -> PurgeHistoryResult:
        """Delete a finished instance."""
        return PurgeHistoryResult(await self._client.purge(instance_id))

    async def purge_instance_history_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: Sequence[OrchestrationRuntimeStatus] | None = None,
    ) -> PurgeHistoryResult:
        """Delete the finished instances that match."""
        result = await self._client.purge_by(**_filters(created_time_from, created_time_to, runtime_status, None))
        return PurgeHistoryResult(result.deleted)

    def create_http_management_payload(self, instance_id: str) -> dict[str, str]:
        """The management URLs. As Azure's it is not awaited: it asks the hub where its gateway is and blocks for that."""
        return self._client._blocking().create_http_management_payload(instance_id)

    def get_client_response_links(self, request: Any, instance_id: str) -> dict[str, str]:
        """The management URLs: those of the hub's gateway, whatever URL the request came to."""
        return self.create_http_management_payload(instance_id)

    def create_check_status_response(self, request: Any, instance_id: str) -> Answer:
        """202 with the management URLs, for any web framework. Not awaited either."""
        return Answer.of(self._client._blocking().create_check_status_response(instance_id))

    async def wait_for_completion_or_create_check_status_response(
        self,
        request: Any,
        instance_id: str,
        timeout_in_milliseconds: int = 10_000,
        retry_interval_in_milliseconds: int = 1_000,
    ) -> Answer:
        """200 with the output if it completes in time, else a check-status answer."""
        if retry_interval_in_milliseconds > timeout_in_milliseconds:
            raise ValueError(
                f"Total timeout {timeout_in_milliseconds} (ms) should be bigger than "
                f"retry timeout {retry_interval_in_milliseconds} (ms)"
            )
        answer = await self._client.wait_for_completion_or_create_check_status(
            instance_id,
            timeout_in_milliseconds / 1000,
            retry_interval_in_milliseconds / 1000,
            return_internal_server_error_on_failure=True,
        )
        return Answer.of(answer)

    async def signal_entity(
        self,
        entityId: EntityId,
        operation_name: str,
        operation_input: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """There are no entities.

        Raises:
            NotImplementedError: always.
        """
        no_entities(f"signal_entity({entityId}, {operation_name!r})")

    async def read_entity_state(
        self, entityId: EntityId, task_hub_name: str | None = None, connection_name: str | None = None
    ) -> None:
        """There are no entities.

        Raises:
            NotImplementedError: always.
        """
        no_entities(f"read_entity_state({entityId})")


def _filters(
    created_from: datetime | None,
    created_to: datetime | None,
    statuses: Sequence[OrchestrationRuntimeStatus] | None,
    prefix: str | None,
) -> Filters:
    given: Filters = {
        "created_time_from": created_from,
        "created_time_to": created_to,
        # An empty list goes on to be refused: it hardly means all.
        "runtime_status": None if statuses is None else [status.value for status in statuses],
        "instance_id_prefix": prefix,
    }
    # None is Azure's default, so it is as left out.
    return {part: value for part, value in given.items() if value is not None}  # type: ignore[return-value]
