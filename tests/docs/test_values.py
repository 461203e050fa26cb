"""What docs/payloads.md says becomes of values, with and without a type hint, is what becomes of them."""

from __future__ import annotations

import dataclasses
import enum
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from durable_ray.actors.code.packing import PYTHON_PAYLOADS

PAGE = (Path(__file__).parents[2] / "docs" / "payloads.md").read_text(encoding="utf-8")
TABLE = PAGE.split("<!-- values: tests/docs/test_values.py -->", 1)[1].split("\n\n", 2)[1]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines()[2:]]


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Model(BaseModel):
    x: int
    y: int


SPACE = {
    "Color": Color,
    "Decimal": Decimal,
    "Path": Path,
    "Point": Point,
    "UTC": UTC,
    "UUID": UUID,
    "datetime": datetime,
    "timedelta": timedelta,
}


def said(cell: str) -> Any:
    """The value of the code that a cell begins with."""
    found = re.match(r"`([^`]+)`", cell)
    assert found is not None, cell
    return eval(found[1], dict(SPACE))


@pytest.mark.parametrize(("given", "bare", "hint"), ROWS, ids=lambda cell: cell[:30])
def test_the_table_of_values_is_true(given: str, bare: str, hint: str) -> None:
    value = said(given)
    payload = PYTHON_PAYLOADS.encode(value)
    arrived = PYTHON_PAYLOADS.decode(payload)
    assert (type(arrived), arrived) == (type(said(bare)), said(bare))
    if hint:
        brought = PYTHON_PAYLOADS.decode(payload, said(hint))
        assert (type(brought), brought) == (type(value), value)


def test_it_names_what_users_ask_about() -> None:
    assert len(ROWS) >= 12
    for word in ('b"', "{7}", "Decimal", "datetime", "pydantic"):
        assert word in TABLE


def test_a_model_is_as_a_dataclass() -> None:
    payload = PYTHON_PAYLOADS.encode(Model(x=1, y=2))
    assert PYTHON_PAYLOADS.decode(payload) == {"x": 1, "y": 2}
    assert PYTHON_PAYLOADS.decode(payload, Model) == Model(x=1, y=2)
