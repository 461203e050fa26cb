"""Connecting to the hub: over HTTP if a gateway is named, else over Ray. Only what is used is imported."""

from __future__ import annotations

from durable_ray.cli.hub.port import HubPort
from durable_ray.config import ClientSettings


def open_hub(settings: ClientSettings) -> HubPort:
    """Reach the hub that these settings name."""
    if settings.url:
        from durable_ray.cli.hub.over_http import open_http_hub

        return open_http_hub(settings)
    from durable_ray.cli.hub.over_ray import open_ray_hub

    return open_ray_hub(settings)
