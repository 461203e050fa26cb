"""What Azure's client answers: statuses, their enumeration, the result of a purge."""

from __future__ import annotations

from enum import Enum
from typing import Any

from durable_ray.client.operations.gateway import status_object


class OrchestrationRuntimeStatus(Enum):
    """The runtime statuses: `.name` as Azure writes it, `.value` what is sent.

    Example:
        >>> OrchestrationRuntimeStatus("Completed").name
        'Completed'
    """

    Running = "Running"
    Completed = "Completed"
    ContinuedAsNew = "ContinuedAsNew"
    Failed = "Failed"
    Canceled = "Canceled"
    Terminated = "Terminated"
    Pending = "Pending"
    Suspended = "Suspended"


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
        # As in the HTTP API: of a failed instance the text that Azure's users parse.
        self.output = None if status is None else status_object(status)["output"]
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
