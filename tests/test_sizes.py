"""One idea a file, a function, a class: what outgrows these limits holds two. Every file says its own first.

The limits are hard stops, not aims: a good file here has a few hundred lines, a good function about nine.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.sources import PACKAGE, assert_none, files, parse, short

FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES, PUBLIC_METHODS = 450, 500, 60, 15

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_files_stay_short() -> None:
    limits = dict.fromkeys(files(*PACKAGE), FILE_LINES) | dict.fromkeys(files("tests"), TEST_FILE_LINES)
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in limits}
    assert_none(
        [
            f"{short(file)} has {lengths[file]} lines, over {limit}: find its second idea and give it a file."
            for file, limit in limits.items()
            if lengths[file] > limit
        ]
    )


def test_files_say_their_idea() -> None:
    assert_none(
        [
            f"{short(file)} has no module docstring: say its one idea, and why it is a file."
            for file in files(*PACKAGE, "tests", "examples", "benchmarks")
            if not ast.get_docstring(parse(file))
        ]
    )


def test_functions_stay_short() -> None:
    assert_none(
        [
            f"{short(file)}:{node.lineno} {node.name}() has {length} lines, over {FUNCTION_LINES}: split it."
            for file, node in nodes()
            if isinstance(node, Function) and (length := lines(node)) > FUNCTION_LINES
        ]
    )


def test_classes_stay_small() -> None:
    assert_none(
        [
            f"{short(file)}:{node.lineno} {node.name} has {count} public methods, over {PUBLIC_METHODS}."
            for file, node in nodes()
            if isinstance(node, ast.ClassDef) and (count := public_methods(node)) > PUBLIC_METHODS
        ]
    )


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    return ((file, node) for file in files(*PACKAGE) for node in ast.walk(parse(file)))


def lines(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def public_methods(node: ast.ClassDef) -> int:
    """Fields are data and do not count; the overloads of a method count once."""
    return len({item.name for item in node.body if isinstance(item, Function) and not item.name.startswith("_")})
