"""How long a finished instance is kept: fixed when it begins, in its row, so that every process agrees."""

from __future__ import annotations

import json

from durable_ray.actors.clock import LATEST, SECOND
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.orchestrations.authoring.options import OrchestratorOptions, Unset


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
    """When an instance of these settings that ended at `ended_at` may be purged by itself (µs); None: never."""
    kept = None if settings == "{}" else json.loads(settings).get("retain_for")
    return None if kept is None else min(ended_at + int(kept), LATEST)
