"""A class of the app's own."""

from __future__ import annotations


class Number:
    """A value with Azure's two methods, by which it travels there."""

    def __init__(self, value: int) -> None:
        self.value = value

    def shown(self) -> str:
        return f"number {self.value}"

    @staticmethod
    def to_json(obj: Number) -> str:
        return str(obj.value)

    @staticmethod
    def from_json(text: str) -> Number:
        return Number(int(text))
