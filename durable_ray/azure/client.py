"""Azure's `DurableOrchestrationClient`: its methods, names and arguments, on `durable_ray.AsyncClient`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from durable_ray.actors.errors import InstanceFinished
from durable_ray.azure.statuses import OrchestrationRuntimeStatus
from durable_ray.client import AsyncClient
from durable_ray.operations.filters import Filters
from durable_ray.operations.gateway import HttpAnswer, status_object


class DurableOrchestrationStatus:
    """A status as Azure's SDK shows it; false if there is no such instance."""

    def __init__(self, status: Any = None, history: list[dict[str, Any]] | None = None) -> None:
        self._status = status
        self.historyEvents = self.history = history
        self.name = getattr(status, "name", None)
        self.instance_id = getattr(status, "instance_id", None)
        self.created_time = getattr(status, "created_time", None)
        self.last_updated_time = getattr(status, "last_updated_time", None)
        self.input_ = getattr(status, "input", None)
        self.output = getattr(status, "output", None)
        self.custom_status = getattr(status, "custom_status", None)
        self.runtime_status = OrchestrationRuntimeStatus(str(status.runtime_status)) if status is not None else None

    def __bool__(self) -> bool:
        return self._status is not None

    def to_json(self) -> dict[str, Any]:
        """As the HTTP API shows it."""
        return {} if self._status is None else status_object(self._status)


class PurgeHistoryResult:
    """How many instances were purged."""

    def __init__(self, instances_deleted: int) -> None:
        self.instances_deleted = instances_deleted


class _Lives:
    """Starting, asking, and what is said to a live instance."""

    def __init__(self, context: str | AsyncClient | None = None) -> None:
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
        """Start an orchestration; its ID."""
        handle = await self._client.start_new(
            orchestration_function_name, client_input, instance_id=instance_id, version=version
        )
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

    async def raise_event(self, instance_id: str, event_name: str, event_data: Any = None, *_: Any) -> None:
        """Send an event. Raises as `Client.raise_event`."""
        await self._client.raise_event(instance_id, event_name, event_data)

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
    """

    async def rewind(self, instance_id: str, reason: str = "", *_: Any) -> None:
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

    async def create_http_management_payload(self, instance_id: str) -> dict[str, str]:
        """The management URLs. Unlike Azure's it is awaited: the hub says where its gateway is."""
        return await self._client.create_http_management_payload(instance_id)

    async def create_check_status_response(self, request: Any, instance_id: str) -> HttpAnswer:
        """202 with the management URLs, for any web framework. Awaited, for the same reason."""
        return await self._client.create_check_status_response(instance_id)

    async def wait_for_completion_or_create_check_status_response(
        self,
        request: Any,
        instance_id: str,
        timeout_in_milliseconds: int = 10_000,
        retry_interval_in_milliseconds: int = 1_000,
    ) -> HttpAnswer:
        """200 with the output if it completes in time, else a check-status answer."""
        return await self._client.wait_for_completion_or_create_check_status(
            instance_id,
            timeout_in_milliseconds / 1000,
            retry_interval_in_milliseconds / 1000,
            return_internal_server_error_on_failure=True,
        )


def _filters(
    created_from: datetime | None,
    created_to: datetime | None,
    statuses: Sequence[OrchestrationRuntimeStatus] | None,
    prefix: str | None,
) -> Filters:
    return {
        "created_time_from": created_from,
        "created_time_to": created_to,
        # An empty list goes on to be refused: it hardly means all.
        "runtime_status": None if statuses is None else [status.value for status in statuses],
        "instance_id_prefix": prefix,
    }
