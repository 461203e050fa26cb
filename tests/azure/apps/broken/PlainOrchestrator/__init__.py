"""An orchestrator that nobody made one."""

from __future__ import annotations

from typing import Any


def main(context: Any) -> Any:
    return 1
