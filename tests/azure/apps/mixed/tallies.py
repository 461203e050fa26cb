"""A module of the app's own."""

from __future__ import annotations


def tally(items: list) -> int:
    return len(items)
