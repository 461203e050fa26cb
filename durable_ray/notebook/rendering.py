"""Which function renders which value of the lower rooms; those of the public package call theirs themselves."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from durable_ray.actors.instances.status import OrchestrationStatus
from durable_ray.notebook.definitions import definition_html
from durable_ray.notebook.failures import failure_html
from durable_ray.notebook.statuses import status_html
from durable_ray.orchestrations.authoring.definitions import Definition
from durable_ray.orchestrations.values.failures import FailureDetails


@singledispatch
def rendered(value: Any) -> str | None:
    """A value as HTML; None: it has none."""
    return None


rendered.register(OrchestrationStatus)(lambda status: status_html(status))
rendered.register(Definition)(definition_html)
rendered.register(FailureDetails)(failure_html)
