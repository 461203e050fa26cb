"""An activity that is awaited."""

from __future__ import annotations


async def main(path: str) -> str:
    return f"copied {path}"
