"""Where an instance is managed over HTTP, and the answers an HTTP endpoint gives about it.

For endpoints of your own, and for activities that hand the URLs to an external system. The URLs are
those of the hub's gateway, which announces its address at its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from durable_ray.actors import errors
from durable_ray.actors.instances.status import OrchestrationStatus, RuntimeStatus
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.wire.management_urls import GatewayAddress, management_payload
from durable_ray.client.operations.asking import QueryOperations
from durable_ray.client.operations.base import H
from durable_ray.client.steps import Steps, operation
from durable_ray.orchestrations.values.azure_texts import orchestrator_text
from durable_ray.orchestrations.values.ids import validate_instance_id


@dataclass(frozen=True)
class HttpAnswer:
    """An HTTP response, for any framework: `JSONResponse(answer.body, answer.status_code, answer.headers)`."""

    status_code: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class GatewayOperations(QueryOperations[H]):
    """Everything that has to do with the HTTP management API."""

    @operation
    def create_http_management_payload(self, instance_id: str) -> Steps[dict[str, str]]:
        """The URLs by which an instance is managed.

        `id`, `statusQueryGetUri`, `sendEventPostUri`, `terminatePostUri`, `rewindPostUri`, `purgeHistoryDeleteUri`,
        `restartPostUri`, `suspendPostUri` and `resumePostUri`. The placeholders `{eventName}` and `{text}` stay in.
        Whoever has the URLs has the key in them.

        Raises:
            InvalidState: the hub has no gateway running.
        """
        validate_instance_id(instance_id)
        return management_payload((yield from self._gateway()), instance_id)

    @operation
    def create_check_status_response(self, instance_id: str) -> Steps[HttpAnswer]:
        """202 with the management URLs, the status URL as `Location`, and `Retry-After: 10`.

        Raises:
            InvalidState: the hub has no gateway running.
        """
        payload = management_payload((yield from self._gateway()), validate_instance_id(instance_id))
        return HttpAnswer(202, payload, {"Location": payload["statusQueryGetUri"], "Retry-After": "10"})

    @operation
    def wait_for_completion_or_create_check_status(
        self,
        instance_id: str,
        timeout: float = 10.0,
        retry_interval: float = 1.0,
        *,
        return_internal_server_error_on_failure: bool = False,
    ) -> Steps[HttpAnswer]:
        """200 with the output if the instance completes in time; else what `create_check_status_response` answers.

        If it failed or was terminated in time: its status as an object, 200 (500 for a failure, if asked so).

        Args:
            timeout: seconds.
            retry_interval: seconds; kept for its rule, for nothing is polled: the answer comes when the instance ends.

        Raises:
            ValueError: `retry_interval` is longer than `timeout`.
            InstanceNotFound: there is none.
            InvalidState: it did not end in time, and the hub has no gateway running.

        Durable Functions' `WaitForCompletionOrCreateCheckStatusResponse`.
        """
        if retry_interval > timeout:
            raise ValueError(
                f"Total timeout {timeout:g} (s) should be bigger than retry timeout {retry_interval:g} (s)"
            )
        ending = yield from self._router.wait(validate_instance_id(instance_id), timeout)
        if ending is not None and ending.status == "absent":
            raise errors.InstanceNotFound(instance_id)
        status = None if ending is None else (yield from GatewayOperations.get_status.steps(self, instance_id))
        if status is None or not status.runtime_status.finished:
            return (yield from GatewayOperations.create_check_status_response.steps(self, instance_id))
        if status.runtime_status is RuntimeStatus.COMPLETED:
            return HttpAnswer(200, status.output)
        failed = status.runtime_status is RuntimeStatus.FAILED and return_internal_server_error_on_failure
        return HttpAnswer(500 if failed else 200, status_object(status))

    def _gateway(self) -> Steps[GatewayAddress]:
        address = yield from self._router.registry(Registry.gateway)
        if address is None:
            raise errors.InvalidState(
                f"the hub {self.hub!r} has no HTTP gateway running, so there are no URLs; "
                "start one: `durable-ray serve --detach`"
            )
        return address


def status_object(status: OrchestrationStatus) -> dict[str, Any]:
    """A status as the HTTP API shows it (`Output`, `CustomStatus` and `Input` as JSON values, times to the second)."""
    return {
        "name": status.name,
        "instanceId": status.instance_id,
        "runtimeStatus": str(status.runtime_status),
        "input": status.input,
        "customStatus": status.custom_status,
        "output": orchestrator_text(status.name, status.failure) if status.failure else status.output,
        "createdTime": f"{status.created_time:%Y-%m-%dT%H:%M:%SZ}",
        "lastUpdatedTime": f"{status.last_updated_time:%Y-%m-%dT%H:%M:%SZ}",
    }
