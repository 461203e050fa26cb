"""The source lines of code that came by value, where `traceback` looks them up: a failure shows them where the file is not.

The code of a notebook's cell or a script has its file at the driver only. Its own lines came along with it (`carried_source`).
"""

from __future__ import annotations

import hashlib
import linecache
import threading
from types import CodeType

#: Files of which a process keeps lines.
MOST_FILES = 500

_lock = threading.Lock()
#: By file name, the oldest first: line's index -> text.
_entered: dict[str, dict[int, str]] = {}


def with_lines(code: CodeType, file: str, line: int, text: str) -> CodeType:
    """The code, whose lines are known from now on.

    Args:
        code: as it was made from a file elsewhere.
        file: that file's name.
        line: how many of its lines stand before `text`.
        text: see `CarriedSource`, whose own lines at the beginning are no lines of the file.
    """
    lines = text.splitlines(keepends=True)
    own = _wrapping(lines)
    # A lambda is carried as an expression, not as its line.
    name = file if code.co_name == "<lambda>" else _enter(file, line + own, tuple(lines[own:]))
    return code if name == code.co_filename else _renamed(code, name)


def _wrapping(lines: list[str]) -> int:
    """How many lines at the beginning only give the function its surroundings."""
    if lines[:1] == ["if True:\n"]:
        return 1
    if lines[:1] != ["def carried():\n"]:
        return 0
    return 3 if lines[2:] and lines[2].startswith(" class ") else 2


def _renamed(code: CodeType, file: str) -> CodeType:
    consts = tuple(_renamed(each, file) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename=file, co_consts=consts)


def _enter(file: str, first: int, lines: tuple[str, ...]) -> str:
    """Enter lines of a file; the name under which they are found: another one where that file has other lines here."""
    wanted = dict(enumerate(lines, first))
    with _lock:
        known = _entered.get(file)
        if known is None and (there := linecache.getlines(file)):
            if tuple(there[first : first + len(lines)]) == lines:
                return file
            file = _apart(file, lines)
        elif known is not None and any(known.get(index, line) != line for index, line in wanted.items()):
            file = _apart(file, lines)
        found = _entered.setdefault(file, {})
        found.update(wanted)
        text = [found.get(index, "\n") for index in range(max(found, default=-1) + 1)]
        # Without a time it is not compared with a file on disk.
        linecache.cache[file] = (sum(map(len, text)), None, text, file)
        while len(_entered) > MOST_FILES:
            oldest = next(iter(_entered))
            del _entered[oldest]
            linecache.cache.pop(oldest, None)
    return file


def _apart(file: str, lines: tuple[str, ...]) -> str:
    return f"{file} ({hashlib.sha256(''.join(lines).encode(errors='replace')).hexdigest()[:6]})"
