"""An activity whose trigger names no parameter."""

from __future__ import annotations


def main(name: str) -> str:
    return name
