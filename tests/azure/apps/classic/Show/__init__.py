"""An activity that takes and returns a value of the app's own class."""

from __future__ import annotations

from shared.numbers import Number


def main(number: Number) -> Number:
    return Number(number.value + 1)
