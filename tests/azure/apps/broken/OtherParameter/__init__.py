"""An activity whose parameter has another name than its trigger."""

from __future__ import annotations


def main(name: str) -> str:
    return name
