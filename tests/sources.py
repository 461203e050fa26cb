"""The project's source files as syntax trees: what the tests about the house itself read.

From the trees and not from running code, so that imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: The two rooms and the front door, whose links to the rooms are not followed: no file counts twice.
PACKAGE = ("orchestrations", "actors", "durable_ray")


@cache
def files(*folders: str) -> tuple[Path, ...]:
    """Every Python file below these folders, once."""
    trees = (tree for folder in folders for tree in os.walk(ROOT / folder))
    return tuple(sorted(Path(at, name) for at, _, names in trees for name in names if name.endswith(".py")))


@cache
def parse(file: Path) -> ast.Module:
    """The syntax tree of a file.

    Without a garbage collection in between: what that finalizes may format a traceback, which parses, too, and CPython 3.11
    then fails with a SystemError about the depth of its recursion.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(file.read_text(encoding="utf-8"), str(file))
    finally:
        if collects:
            gc.enable()


def short(file: Path) -> str:
    """The file's path as a person writes it: `actors/clock.py`."""
    return file.relative_to(ROOT).as_posix()


def module_name(file: Path) -> str:
    """The one name that a file is imported by: `actors/clock.py` is `durable_ray.actors.clock`."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "durable_ray" else ("durable_ray", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Each import of a file as (line, dotted name). `from a import b` is `a.b`, be b a module or a name."""
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


@cache
def import_graph() -> dict[str, dict[str, str]]:
    """Module -> the project's modules that it imports, each with the place `file:line` where it does."""
    known = {module_name(file) for file in files(*PACKAGE)}
    graph: dict[str, dict[str, str]] = {module: {} for module in sorted(known)}
    for file in files(*PACKAGE):
        for line, name in imports(file):
            target = name if name in known else name.rpartition(".")[0]
            if target in known:
                graph[module_name(file)][target] = f"{short(file)}:{line}"
    return graph


def assert_none(failures: list[str]) -> None:
    """Fail with one sentence a line."""
    assert not failures, "\n" + "\n".join(failures)
