"""Azure's enumeration of runtime statuses: `.name` as Azure writes it, `.value` what is sent."""

from __future__ import annotations

from enum import Enum


class OrchestrationRuntimeStatus(Enum):
    """The words of a status.

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
