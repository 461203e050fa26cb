"""What the pages show runs as it stands: every block of Python, in order, and says what is shown below it."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.orchestrations.authoring import decorators
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.testing import TestHub
from tests.docs.pages import ANOTHER, ON_RAY, PAGES, Block, blocks, fits, run
from tests.sources import ROOT

BLOCKS = {page: blocks(page) for page in PAGES}
WITH_BLOCKS = [page for page in PAGES if BLOCKS[page]]
#: Where something needs one; and the first program that anybody runs.
WITH_RAY = [page for page in PAGES if page.name == "README.md" or any(one.mark == ON_RAY for one in BLOCKS[page])]
RAY = """
import ray
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
"""


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestHub]:
    """A hub in this process, on real time, in the place of the one on Ray; what the page defines is kept apart."""
    own = DefinitionCatalog()
    monkeypatch.setattr(decorators, "catalog", own)
    monkeypatch.setitem(TestHub.__init__.__kwdefaults__, "definitions", own)
    with TestHub(definitions=own, start=None) as hub:
        for kind, client in ((dr.Client, hub.client), (dr.AsyncClient, hub.async_client)):
            monkeypatch.setattr(dr, kind.__name__, instead_of(kind, client))
        yield hub


def instead_of(kind: Callable[..., Any], client: Any) -> Callable[..., Any]:
    signature = inspect.signature(kind)

    def made(*args: Any, **kwargs: Any) -> Any:
        signature.bind(*args, **kwargs)
        return client

    return made


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name)
@pytest.mark.usefixtures("hub")
def test_the_python_of_a_page_runs(
    page: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType(page.stem.replace("-", "_"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in BLOCKS[page]:
        if block.mark in (ON_RAY, ANOTHER):
            continue
        run(block.first, module, page, 1)
        capsys.readouterr()
        run(block.code, module, page, block.line)
        said = capsys.readouterr().out
        if block.shown is not None:
            assert fits(block.shown, said), f"{block.place} says\n{said}\nand shows\n{block.shown}"


@pytest.mark.parametrize(
    "block", [one for page in PAGES for one in BLOCKS[page] if one.mark], ids=lambda one: one.place
)
def test_what_does_not_run_here_is_python_all_the_same(block: Block) -> None:
    assert block.mark in (ON_RAY, ANOTHER), f"{block.place}: no such mark"
    ast.parse(block.code, block.place)


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_the_pages_that_need_a_ray_run_on_one(tmp_path: Path) -> None:
    """All in one process, on one Ray, as a reader's notebook would: whatever a page needs is in it."""
    assert len(WITH_RAY) > 1
    file = tmp_path / "pages.py"
    shown = [f"{block.first}\n{block.code}" for page in WITH_RAY for block in BLOCKS[page] if block.mark != ANOTHER]
    file.write_text(RAY + "\n".join(shown), encoding="utf-8")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "XDG_STATE_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_blocks_are_found_with_their_marks_and_their_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- first:\nx = 1\n-->\n```python\nprint(x)\n```\n\nIt says:\n\n```text\n1\n```\n\n"
        '<!-- another product -->\n```python title="a.py"\nimport other\n```\n\n'
        "```sh\nls\n```\n\n```text\nno output of Python\n```\n",
        encoding="utf-8",
    )
    one, two = blocks(page)
    assert one == Block(page, 5, "print(x)\n", "", "x = 1", "1\n")
    assert (two.mark, two.code, two.shown) == (ANOTHER, "import other\n", None)


def test_output_is_compared_with_what_is_shown() -> None:
    assert fits("a … c\n", "a b\nb c\n")
    assert not fits("a … c", "a b d")


def test_a_page_with_a_mistake_fails_at_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    with pytest.raises(ZeroDivisionError) as failed:
        run("x = 1\ny = x / 0\n", ModuleType("page"), page, 7)
    assert failed.traceback[-1].path == str(page)
    assert failed.traceback[-1].lineno == 7  # counted from 0
