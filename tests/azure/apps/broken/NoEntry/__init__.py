"""An activity without its entry point."""

from __future__ import annotations


def start(name: str) -> str:
    return name
