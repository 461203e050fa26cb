"""The rooms stay small and their names plain: folders of a dozen files at most, and one meaning for each class name."""

from __future__ import annotations

import ast
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
