"""What docs/life-of-a-call.md says is how the code goes: its names exist, each step calls the next, the counts are right."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from typing import NamedTuple

from tests.sources import ROOT, assert_none, parse

PAGE = (ROOT / "docs" / "life-of-a-call.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([\w/]+\.py): ([\w.]+)`")
STEP = re.compile(r"^(\d+)\. `([\w/]+\.py): ([\w.]+)`( \*\(callback\)\*)?", re.MULTILINE)
COUNTED = re.compile(r"^## [^\n]*: (\d+) calls\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    number: int
    path: str
    name: str
    callback: bool


def definition(path: str, name: str) -> ast.AST | None:
    """The class or function of that dotted name, also one inside a function."""
    node: ast.AST = parse(ROOT / path)
    for part in name.split("."):
        found = [
            child
            for child in ast.walk(node)
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and child.name == part
        ]
        if not found:
            return None
        node = found[0]
    return node


def lists() -> list[list[Step]]:
    """The numbered lists of the page, in order."""
    found: list[list[Step]] = []
    for number, path, name, callback in STEP.findall(PAGE):
        step = Step(int(number), path, name, bool(callback))
        if step.number == 1:
            found.append([])
        found[-1].append(step)
    return found


def mentioned(node: ast.AST) -> set[str]:
    names = {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)}
    return names | {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def test_every_name_exists() -> None:
    named = set(NAMED.findall(PAGE))
    assert len(named) > 40
    assert_none(
        [
            f"docs/life-of-a-call.md names {path}: {name}, which is not there."
            for path, name in sorted(named)
            if not (ROOT / path).exists() or definition(path, name) is None
        ]
    )


def test_every_step_calls_the_next() -> None:
    failures: list[str] = []
    for steps in lists():
        assert [step.number for step in steps] == list(range(1, len(steps) + 1)), steps[0]
        for step, following in pairwise(steps):
            node = definition(step.path, step.name)
            assert node is not None, step
            if not following.callback and following.name.rpartition(".")[2] not in mentioned(node):
                failures.append(
                    f"{step.path}: {step.name} does not call {following.name}, which the page says is next."
                )
    assert_none(failures)


def test_the_counts_are_those_of_the_lists() -> None:
    counted = COUNTED.findall(PAGE)
    assert len(counted) == 2
    for said, text in counted:
        assert len(STEP.findall(text)) == int(said)
