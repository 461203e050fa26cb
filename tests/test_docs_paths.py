"""Every path that the documentation names exists: a file that moves takes its name in the prose along."""

from __future__ import annotations

import re

import pytest

from tests.sources import ROOT

PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in (
        *(ROOT / name for name in ("README.md", "DESIGN.md", "CONTRIBUTING.md", "SECURITY.md")),
        *ROOT.glob("docs/**/*.md"),
    )
)
ROOMS = "deploy|actors|orchestrations|durable_ray|tests|benchmarks|examples|docs|scripts"
#: A path as prose names it: a file with its suffix, or a folder that ends with a slash.
PATH = re.compile(rf"(?<![\w/.:])((?:{ROOMS})/(?:[\w-]+/)*(?:[\w.-]+\.\w+|(?<=/)))(?![\w/*])")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_is_named_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    missing = sorted({path for path in PATH.findall(text) if not (ROOT / path).exists()})
    assert not missing, f"{page} names what is not there: {missing}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    file = ROOT / page
    missing = [link for link in LINK.findall(file.read_text(encoding="utf-8")) if not (file.parent / link).exists()]
    assert not missing, f"{page} links to what is not there: {missing}"


def test_the_pattern_finds_files_and_folders() -> None:
    text = "`actors/clock.py`, `tests/laws/`, [x](docs/http.md#settings); not durable_ray.actors/x nor /home/tests/x.py"
    assert PATH.findall(text) == ["actors/clock.py", "tests/laws/", "docs/http.md"]
