"""The site is built without a warning: no link leads nowhere, no page is left out; and a browser needs nothing besides it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.site_hooks import relinked
from tests.sources import ROOT

ELSEWHERE = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    site = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return site


def test_every_page_is_on_it(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").glob("**/*.md")}
    pages |= {Path(f"{name}.html") for name in ("index", "changelog", "contributing", "design", "security")}
    missing = sorted(page.as_posix() for page in pages if not (site / page).exists())
    assert not missing


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    found = {page.name: ELSEWHERE.findall(page.read_text(encoding="utf-8")) for page in site.glob("**/*.html")}
    assert len(found) > 10
    assert not {page: tags for page, tags in found.items() if tags}
    assert ELSEWHERE.search('<script src="https://cdn.example/x.js"></script>')


def test_the_reference_shows_what_callers_get(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "clients.html").read_text(encoding="utf-8"))
    assert "create_schedule" in text
    assert "ScheduleDescription" in text
    assert "Steps[" not in text
    assert "Examples:" in text


def test_links_between_files_become_links_of_the_site() -> None:
    known = {"index.md", "design.md", "http.md", "patterns/saga.md"}
    text = "[a](docs/http.md#x), [actors/settings.py](actors/settings.py), `[b](DESIGN.md)`, [c](missing.md)"
    assert (
        relinked(text, "index.md", known) == "[a](http.md#x), `actors/settings.py`, `[b](DESIGN.md)`, [c](missing.md)"
    )
    assert (
        relinked("[d](../../DESIGN.md) [s](../http.md)", "patterns/saga.md", known)
        == "[d](../design.md) [s](../http.md)"
    )
    assert relinked("```\n[d](../DESIGN.md)\n```\n[the code](../examples/hello.py)", "http.md", known) == (
        "```\n[d](../DESIGN.md)\n```\nthe code (`examples/hello.py`)"
    )


def test_readme_stays_short() -> None:
    lines = len((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    assert lines < 200, "what decides and starts is in README.md; details have a page in docs/"
