"""The settings of a hub as its processes read them: checked where they were given, and from then on plain values.

Every process of a hub is handed these when it starts, and what checks them (`settings.HubSettings`) would be a tenth of what
the start of a host costs.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from durable_ray.actors.clock import LATEST, SECOND
from durable_ray.orchestrations.authoring.options import OrchestratorOptions, Unset


class HubConfig(NamedTuple):
    """The checked values of `HubSettings`; see there what each means.

    Example:
        >>> from durable_ray.actors.settings import HubSettings
        >>> HubConfig.from_json(HubSettings(max_dedicated=4).settled().to_json()).max_dedicated
        4
    """

    partitions: int
    max_dedicated: int | None
    idle_timeout: float | None
    linger: float
    default_placement: str
    turn_limit: float
    max_recoveries: int
    max_in_memory: int
    sweep_interval: float
    workers: int | None
    worker_slots: int
    worker_idle: float
    retain_for: float | None
    max_running: dict[str, int]
    max_running_activities: dict[str, int]
    wire: bool
    receipt_seconds: float
    # Whatever is added has a default here: an older release wrote the row of an older hub.
    warm_processes: int = 1

    def to_json(self) -> str:
        """As it stands in the hub's row."""
        return json.dumps(self._asdict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> HubConfig:
        """What `to_json` wrote."""
        return cls(**json.loads(text))

    def dedicated_limit(self) -> int:
        """`max_dedicated`, or what this node's memory suggests."""
        if self.max_dedicated is not None:
            return self.max_dedicated
        try:
            available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            return 16
        return max(4, min(200, available // (256 * 1024 * 1024)))


def own_settings(options: OrchestratorOptions, hub: HubConfig) -> str:
    """What an instance keeps of the settings it begins with, as JSON: what its orchestrator declares, else the hub's.

    Example:
        >>> from durable_ray.actors.settings import HubSettings
        >>> own_settings(OrchestratorOptions("a"), HubSettings(retain_for=1.5).settled())
        '{"retain_for": 1500000}'
    """
    kept = options.retain_for
    if isinstance(kept, Unset):
        kept = None if hub.retain_for is None else int(min(hub.retain_for * SECOND, LATEST))
    return "{}" if kept is None else json.dumps({"retain_for": kept})


def expiry(settings: str, ended_at: int) -> int | None:
    """When an instance of these settings that ended at `ended_at` may be purged by itself (µs); None: never.

    Never, too, if they are damaged: such an instance is ended by somebody who wants to see it.
    """
    try:
        kept = retention_of(settings)
    except ValueError:
        return None
    return None if kept is None else min(ended_at + kept, LATEST)


def retention_of(settings: str) -> int | None:
    """How long an instance of these settings is kept once it has ended (µs); None: for ever. Raises ValueError."""
    try:
        kept = None if settings == "{}" else json.loads(settings).get("retain_for")
        return None if kept is None else int(kept)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"its settings cannot be read ({error})") from error
