"""The house holds: imports run one way and never in a circle, the lower room is pure, few doors open on Ray.

Each failure is a sentence that says what to change. What ruff can say (clocks, randomness, style) it says.
"""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import durable_ray.actors
import durable_ray.orchestrations
from tests.sources import PACKAGE, ROOT, assert_none, files, import_graph, imports, parse, short

#: From the ground up: a module imports from its own step and from those before it.
LADDER = ("durable_ray.orchestrations", "durable_ray.actors", "durable_ray")

#: The one room whose files may import `ray`. All others are plain Python and need no cluster.
RAY_ROOM = "actors/cluster/"

#: Where `sqlalchemy` may be imported. Hosts import none of it: that takes longer than much of what they do.
CORE_DOORS = (
    "actors/store/databases/schema.py",
    "actors/store/databases/making.py",
    "actors/store/databases/migrations/",
)

#: All that orchestrations/ may import: nothing that reads the world, so that replay answers alike everywhere.
#: `cronsim` reads cron expressions. `zoneinfo` reads files, but no replay asks for a time zone; the registry alone does.
PURE = frozenset(
    """
    __future__ abc asyncio base64 binascii bisect builtins collections contextlib contextvars copy
    dataclasses datetime decimal difflib dis enum fractions functools graphlib hashlib heapq hmac inspect
    itertools json keyword logging marshal math numbers operator pickle random re reprlib string struct
    sys textwrap traceback types typing unicodedata uuid warnings weakref zlib zoneinfo
    cronsim msgspec pydantic pydantic_core typing_extensions durable_ray
    """.split()
)


def step(module: str) -> int:
    return next(i for i, room in enumerate(LADDER) if module == room or module.startswith(f"{room}."))


def test_imports_run_down_the_ladder() -> None:
    assert_none(
        [
            f"{place} imports {target}, which stands above {LADDER[step(module)]}: take it as an argument."
            for module, targets in import_graph().items()
            for target, place in targets.items()
            if step(target) > step(module)
        ]
    )


def test_no_module_imports_itself_through_others() -> None:
    graph = import_graph()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        places = [graph[importer][target] for importer, target in pairwise(circle)]
        assert_none([f"{' -> '.join(circle)} is a circle: take away one of {', '.join(places)}."])


def test_only_one_room_imports_ray() -> None:
    assert_none(
        [
            f"{short(file)}:{line} imports {name}: say in {RAY_ROOM} what you need of Ray, and use that."
            for file in files(*PACKAGE)
            for line, name in imports(file)
            if name.split(".")[0] == "ray" and not short(file).startswith(RAY_ROOM)
        ]
    )


def test_only_what_makes_tables_imports_sqlalchemy() -> None:
    assert_none(
        [
            f"{short(file)}:{line} imports {name}: write the statement as a text, see actors/store/sql/statement.py."
            for file in files(*PACKAGE)
            for line, name in imports(file)
            if name.split(".")[0] in {"sqlalchemy", "alembic"} and not short(file).startswith(CORE_DOORS)
        ]
    )


def test_orchestrations_import_nothing_that_reads_the_world() -> None:
    assert_none(
        [
            f"{short(file)}:{line} imports {name}, which is not in PURE: take what it gives as an argument."
            for file in files("orchestrations")
            for line, name in imports(file)
            if name.split(".")[0] not in PURE
        ]
    )


def test_orchestrations_call_nothing_that_reads_the_world() -> None:
    """Ruff bans imports and attributes, not builtins; so these are held here."""
    calls = [
        (file, node.func)
        for file in files("orchestrations")
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert_none(
        [
            f"{short(file)}:{name.lineno} calls {name.id}(): there is no I/O in this room."
            for file, name in calls
            if name.id in {"open", "input", "print"}
        ]
    )


def test_nobody_imports_a_room_by_its_bare_name() -> None:
    """`actors.host.Host is not durable_ray.actors.host.host.Host`: each class of the file would exist twice."""
    bare = {"actors", "orchestrations"}
    assert_none(
        [
            f"{short(file)}:{line} imports {name}: write durable_ray.{name.lstrip('.')}."
            for file in files(*PACKAGE, "tests", "examples", "benchmarks", "docs")
            for line, name in imports(file)
            if name.split(".")[0] in bare or name.startswith(".")
        ]
    )
    assert not bare & sys.modules.keys(), "Something imported a room under its bare name while the tests ran."


def test_the_links_lead_to_the_rooms() -> None:
    """The package under test is this checkout's, and each room is the folder at its top."""
    for room in (durable_ray.actors, durable_ray.orchestrations):
        places = {Path(path).resolve() for path in room.__path__}
        assert places == {ROOT / room.__name__.rpartition(".")[2]}, f"{room.__name__} was imported from {places}."
