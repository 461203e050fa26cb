"""The definition catalog of this process: what a client registers with a hub, and what a test hub resolves names in.

Decorating a function enters it here. A client remembers the counter up to which it has registered and asks
for what came since, so that a function defined in the next notebook cell is found without anybody
announcing it.

There is no lock, as this room knows no threads: entering is one atomic step of a dict, and definitions are
made while modules are imported, not in races.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from durable_ray.orchestrations.authoring.definitions import Activity, Definition, Kind, Orchestrator

AnyDefinition = Activity[..., Any] | Orchestrator[..., Any]


class DuplicateDefinition(ValueError):
    """Two different functions claim one name (and version)."""


class DefinitionCatalog:
    """Definitions by kind, name and version.

    Example:
        >>> catalog = DefinitionCatalog()
        >>> counter, new = catalog.changes(since=0)
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[Kind, str, str], tuple[int, AnyDefinition]] = {}
        self._ticks = itertools.count(1)

    def register(self, definition: AnyDefinition) -> None:
        """Enter a definition. The same function defined anew (a notebook cell run again) replaces the older
        one.

        Raises:
            DuplicateDefinition: another function has this name and version.
        """
        key = (definition.kind, definition.name, definition.version)
        before = self._entries.get(key)
        if before is not None and not _same_function(before[1], definition):
            raise DuplicateDefinition(
                f"{definition.kind} {definition.name!r} is already defined as {_place(before[1])}, "
                f"now also as {_place(definition)}; give one of them another name="
                + ("" if definition.kind == "activity" else " or version=")
            )
        self._entries[key] = (next(self._ticks), definition)

    def forget(self, definition: AnyDefinition) -> None:
        """Take a definition out again, if it is still the one of its name."""
        key = (definition.kind, definition.name, definition.version)
        entry = self._entries.get(key)
        if entry is not None and entry[1] is definition:
            del self._entries[key]

    def get(self, kind: Kind, name: str, version: str | None = None) -> AnyDefinition | None:
        """The definition of this name; without a version the one entered last. None if there is none."""
        if version is not None:
            entry = self._entries.get((kind, name, version))
            return None if entry is None else entry[1]
        versions = [entry for key, entry in list(self._entries.items()) if key[:2] == (kind, name)]
        return max(versions, key=lambda entry: entry[0])[1] if versions else None

    def changes(self, since: int) -> tuple[int, tuple[AnyDefinition, ...]]:
        """The counter to ask with next time, and what was entered after `since`, oldest first."""
        new = sorted((entry for entry in list(self._entries.values()) if entry[0] > since), key=lambda entry: entry[0])
        return (new[-1][0] if new else since), tuple(definition for _, definition in new)

    def __iter__(self) -> Iterator[AnyDefinition]:
        return iter(self.changes(since=0)[1])

    def __len__(self) -> int:
        return len(self._entries)


#: The definitions of this process.
catalog = DefinitionCatalog()


def _same_function(old: AnyDefinition, new: AnyDefinition) -> bool:
    if _place(old) == _place(new):
        return True
    # A script that other modules import exists twice: as __main__ and under its own name.
    codes = [getattr(definition.fn, "__code__", None) for definition in (old, new)]
    if codes[0] is None or codes[1] is None:
        return False
    return (codes[0].co_filename, codes[0].co_qualname) == (codes[1].co_filename, codes[1].co_qualname)


def _place(definition: Definition[..., Any]) -> str:
    return f"{definition.__module__}:{getattr(definition, '__qualname__', definition.name)}"
