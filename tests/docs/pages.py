"""The Python of a page: its blocks in their order, each with the output that is shown for it.

A comment before a block says what is special about it; a block without one runs in this process, after those before it:

    <!-- on a real Ray -->       runs where there is a Ray only
    <!-- another product -->     is no durable_ray: only its syntax is checked
    <!-- first:                  is run before the block, and not shown
    client = ...
    -->

Output is shown in a block of `text` that is the next one after the Python; `…` in it stands for anything.
"""

from __future__ import annotations

import ast
import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.sources import ROOT

PAGES = tuple(sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")]))
ON_RAY, ANOTHER = "on a real Ray", "another product"

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>(?:first:\n)?(?:(?!-->).)+?)\s*-->\n)?^(?P<fence>```+)(?P<kind>\w*).*?\n(?P<code>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
_FIRST = "first:\n"


@dataclass(frozen=True)
class Block:
    """One block of Python.

    `line` is where its code begins in the page, `mark` what the comment before it says, `first` the code to run before it, and
    `shown` the output that the page shows for it, if it does.
    """

    page: Path
    line: int
    code: str
    mark: str = ""
    first: str = ""
    shown: str | None = None

    @property
    def place(self) -> str:
        """Where it is, as a person would say it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The page's blocks of Python."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    python = False
    for match in _BLOCK.finditer(text):
        if match["kind"] == "text" and python:
            last = found.pop()
            found.append(Block(page, last.line, last.code, last.mark, last.first, match["code"]))
        python = match["kind"] == "python"
        if python:
            line = text.count("\n", 0, match.start("code")) + 1
            mark = match["mark"] or ""
            first = mark.removeprefix(_FIRST) if mark.startswith(_FIRST) else ""
            found.append(Block(page, line, match["code"], "" if first else mark, first))
    return found


def run(code: str, module: ModuleType, page: Path, line: int) -> None:
    """Run code of a page in its module; tracebacks name the page and the line. It may `await`, as a notebook's cell may."""
    made = compile("\n" * (line - 1) + code, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if (awaited := eval(made, module.__dict__)) is not None:
        asyncio.run(awaited)


def fits(shown: str, said: str) -> bool:
    """Whether what was said is what is shown."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None
