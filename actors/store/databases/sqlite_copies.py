"""What a SQLite file says about being a copy: a mark in its header, which no copy loses, and the files that belong beside it.

The mark is SQLite's `user_version`, an integer for the application's use that is copied with the file, by whatever means.

- `BACKUP`: made by `durable-ray backup`. Whole, and kept as it is: no hub opens it.
- `RESTORED`: put in place by `durable-ray restore`. The first hub to own it says so in its log, and takes the mark off.

A copy that somebody made of the file alone (`cp`) has no mark, and lacks every commit that was still in `<file>-wal`. It opens
like any other, some of its instances are back where they were minutes ago, and nobody is told. What it lacks too is
`<file>.writers`, which has stood beside every store since before its first page was written. So a file with contents and
neither of the two beside it was copied or moved alone, and is refused. (Nothing in the file tells whether a log was left
behind: a store that was closed well has none. To refuse a whole file costs a command, to take one that is not loses commits.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from durable_ray.actors.store.contract import StoreUnusable

ORDINARY: Final = 0
BACKUP: Final = 1
RESTORED: Final = 2

#: Where to read on; every sentence about copies names it.
PAGE: Final = "docs/operations.md"

#: Of SQLite's header: the mark is the big-endian integer at this offset.
_HEADER, _MARK = 100, 60
_MAGIC = b"SQLite format 3\0"


def beside(path: Path, ending: str) -> Path:
    """A file that belongs to the store: `store.db-wal`, `store.db.writers`."""
    return path.with_name(path.name + ending)


def mark_of(path: Path) -> int | None:
    """The mark in the header of a file that no process has changed since it was written whole; None: it has none."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return None
    return int.from_bytes(header[_MARK : _MARK + 4], "big") if header.startswith(_MAGIC) else None


def holds(path: Path) -> bool:
    """Whether this file is there and has contents."""
    try:
        return path.stat().st_size > 0
    except (OSError, ValueError):
        return False


def refuse_copies(path: Path) -> None:
    """Raise StoreUnusable for a backup that was not restored, and for a file that came here without what belongs to it.

    To be called before this process makes files beside the store.
    """
    # In this order: whoever makes a store makes `.writers` before the first page.
    if not holds(path):
        return
    places = {path, path.resolve()}  # SQLite's log stands beside the file itself, whatever link leads there
    if any(holds(beside(place, "-wal")) for place in places):
        return
    alone = not any(beside(place, ".writers").exists() for place in places)
    mark = mark_of(path)
    if mark == BACKUP:
        raise StoreUnusable(
            f"{path} is a backup, which a hub must not change; put it in place with: durable-ray restore {path} "
            f"--store sqlite:///path ({PAGE})"
        )
    if alone and mark == ORDINARY:
        raise StoreUnusable(
            f"{path} was copied or moved here alone, and what its hub committed last may have been left behind in "
            f"{path.name}-wal; move {path.name}-wal and {path.name}.writers here too, or restore a backup, or, if the hub had "
            f"been stopped and had left no {path.name}-wal, say so: durable-ray restore {path} --whole --store "
            f"sqlite:///path ({PAGE})"
        )
