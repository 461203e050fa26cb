"""Definitions' rows, decoded: options and executor, as starting and scheduling need them.

Read before they are stored, so that nothing is deployed that no host understands; and when a process learns them, where one
that cannot be read (a damaged row, a newer version's) is left out with its reason, and does not affect the others.
"""

from __future__ import annotations

import json
from typing import Literal

from msgspec import Struct

from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.authoring.options import ActivityOptions, ActivityPlacement, OrchestratorOptions
from durable_ray.orchestrations.values.ids import validate_definition_name

_REASON_CHARS = 2000


class DefinitionUnreadable(ValueError):
    """The row of a definition cannot be decoded; the message names the part."""


def absent(kind: Literal["orchestrator", "activity"], name: str, reason: str) -> DefinitionRow:
    """The row by which a hub knows why it does not have a definition."""
    return DefinitionRow(kind, name, "", "", "value", b"", json.dumps({"reason": reason[:_REASON_CHARS]}))


class KnownActivity(Struct, frozen=True):
    """An activity as far as scheduling it needs to know it."""

    row: DefinitionRow
    options: ActivityOptions
    #: The executor that runs its attempts.
    executor: ActivityPlacement

    @classmethod
    def of(cls, row: DefinitionRow, options: ActivityOptions) -> KnownActivity:
        """Read its options once, and not for every attempt."""
        placement = options.placement
        # Declared nothing, but its job brought a runtime environment of its own: the hub's workers do not have that.
        return cls(row, options, "task" if placement == "worker" and row.runtime_env is not None else placement)


class _Absent(Exception):
    """Why a definition is not there."""


class KnownOrchestrator(Struct, frozen=True):
    """An orchestrator as far as starting it needs to know it."""

    row: DefinitionRow
    options: OrchestratorOptions


def described(row: DefinitionRow) -> KnownActivity | KnownOrchestrator:
    """A definition by its row. Raises DefinitionUnreadable, whatever is wrong with it; the message says what to do."""
    try:
        if row.absent:
            raise _Absent(json.loads(row.options)["reason"])
        validate_definition_name(row.name)
        options = json.loads(row.options)
        if row.runtime_env is not None and not isinstance(json.loads(row.runtime_env), dict):
            raise ValueError(f"its runtime environment is no JSON object: {row.runtime_env!r}")
        if row.kind == "activity":
            return KnownActivity.of(row, ActivityOptions.from_json_dict(options))
        if row.kind == "orchestrator":
            return KnownOrchestrator(row, OrchestratorOptions.from_json_dict(options))
        raise ValueError(f"{row.kind!r} is neither an activity nor an orchestrator")
    except _Absent as error:
        raise DefinitionUnreadable(f"{row.kind} {row.name!r} is not deployed to this hub: {error}; deploy it") from None
    except Exception as error:
        raise DefinitionUnreadable(
            f"the definition of {row.kind} {row.name!r} cannot be read: {type(error).__name__}: {error}; deploy it again"
        ) from error
