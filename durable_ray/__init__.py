"""Durable orchestrations on Ray: plain Python functions that survive their process, node and cluster."""

from __future__ import annotations

__all__: list[str] = []
