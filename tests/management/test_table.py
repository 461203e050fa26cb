"""The table of rows in `docs/management.md` is complete, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.sources import parse

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "management.md").read_text(encoding="utf-8")


def test_every_row_is_there_once() -> None:
    named = [int(n) for row in re.findall(r"^\| (S[^|]+)\|", TABLE, re.MULTILINE) for n in _numbers(row)]
    assert sorted(named) == list(range(1, 40))


def _numbers(row: str) -> list[int]:
    first, _, last = row.partition(" to ")
    if last:
        return list(range(int(first.strip()[1:]), int(last.strip()[1:]) + 1))
    return [int(number) for number in re.findall(r"S(\d+)", row)]


def test_every_test_that_is_named_exists() -> None:
    missing = []
    module = ""
    for cited in re.findall(r"`([^`]*(?:test_|…s\d)[^`]*)`", TABLE):
        if cited.startswith("tests/"):
            if not (ROOT / cited).is_dir():
                missing.append(cited)
            continue
        name, _, function = cited.lstrip("…").rpartition("::")
        if cited.startswith("…"):
            function = cited[1:]
        elif name:
            module = name
        else:
            module, function = cited, ""
        start = function.split("…")[0]
        start = f"test_{start}" if function and not start.startswith("test_") else start
        if not any(test.startswith(start) for test in _tests(module)):
            missing.append(cited)
    assert missing == []


def _tests(module: str) -> list[str]:
    folder = ROOT / "tests" if "/" in module else Path(__file__).parent
    file = folder / f"{module}.py"
    if not file.exists():
        return []
    return [node.name for node in ast.walk(parse(file)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
