"""An activity."""

from __future__ import annotations


def main(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in ("a.txt", "b.txt", "c.txt")]
