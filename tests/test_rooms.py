"""The rooms stay small and their names plain: folders of a dozen files at most, and one meaning for each class name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.sources import PACKAGE, ROOT, assert_none, files, parse, short

#: Files of a folder beside `__init__.py`: more is a room whose name does not say what is in it any more.
MOST_FILES = 14
#: Files that stand in `actors/` itself, beside the rooms.
MOST_LOOSE = 5
#: An event of histories and the exception that user code catches: the one name is stored, the other public.
TWICE = frozenset({"ActivityFailed"})
#: Their `hub` is the command line's view of one; and this file says what is looked for.
ELSEWHERE = {("cli", "test_doctor.py"), ("tests", "test_rooms.py")}
ROOMS = ("host", "instances", "registry", "activities", "code", "store", "cluster", "wire")


def modules(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.py") if file.name != "__init__.py")


def test_actors_holds_rooms_and_few_loose_files() -> None:
    folder = ROOT / "actors"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__") == sorted(
        ROOMS
    )
    assert len(modules(folder)) <= MOST_LOOSE, modules(folder)


@pytest.mark.parametrize("folder", sorted({file.parent for file in files(*PACKAGE)}), ids=lambda path: short(path))
def test_a_room_has_a_dozen_files(folder: Path) -> None:
    assert len(modules(folder)) <= MOST_FILES, modules(folder)


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in files(*PACKAGE):
        for node in parse(file).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{short(file)}:{node.lineno}")
    assert_none(
        [
            f"{name} is the name of two things ({', '.join(at)}): rename one."
            for name, at in sorted(places.items())
            if len(at) > 1 and name not in TWICE
        ]
    )


def test_every_room_says_what_it_is_for() -> None:
    assert_none(
        [
            f"{short(file)} has no docstring that says what its folder is for."
            for file in files(*PACKAGE)
            if file.name == "__init__.py" and not ast.get_docstring(parse(file))
        ]
    )


def test_tests_use_the_doors_of_a_test_hub() -> None:
    """What tests need of the inside of a hub is public on `TestHub`, so that the runtime behind can change."""
    private = re.compile(r"\bhub\._[a-z]")
    assert_none(
        [
            f"{short(file)}:{number}: `{line.strip()}` reaches into a hub: give TestHub (or the class) a public method."
            for file in files("tests")
            for number, line in enumerate(file.read_text().splitlines(), 1)
            if private.search(line) and file.parts[-2:] not in ELSEWHERE
        ]
    )
