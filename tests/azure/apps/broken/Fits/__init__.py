"""An activity that fits."""

from __future__ import annotations


def main(name: str) -> str:
    return f"Hello {name}!"
