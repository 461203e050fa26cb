"""One line that changes in place, in a notebook's cell and on a terminal; in a pipe or a file, a line for each step."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Hashable
from importlib import import_module
from typing import Any, TextIO

_ERASE = "\r\x1b[2K"


class LiveLine:
    """Shows the latest of many texts. `out`: where, if not in a notebook; standard error by default."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._display: Any = None
        self._notebook = out is None and in_notebook()
        self._terminal = not self._notebook and self._out.isatty()
        self._last: tuple[str, Hashable] = ("", None)

    def show(self, text: str, step: Hashable) -> None:
        """Show `text`. Where lines cannot be changed it is written only if `step` differs from that of the line before."""
        if text == self._last[0]:
            return
        if self._notebook:
            self._in_cell(text)
        elif self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"{_ERASE}{text[:width]}")
        elif step != self._last[1]:
            self._write(f"{text}\n")
        self._last = text, step

    def hide(self) -> None:
        """Make room for what others write."""
        if self._terminal and self._last[0]:
            self._write(_ERASE)
            self._last = "", self._last[1]

    def close(self) -> None:
        """The last text stays."""
        if self._terminal and self._last[0]:
            self._write("\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _in_cell(self, text: str) -> None:
        if self._display is None:
            display: Any = import_module("IPython.display").display  # there is one: this is a cell
            self._display = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._display.update({"text/plain": text}, raw=True)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else getattr(ipython, "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
