"""What README.md shows runs as it stands: every Python block, in order, in one process; links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import summary

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "DESIGN.md", "docs/protocol.md")
BLOCK = re.compile(r"(<!-- on a real Ray -->\n)?```python\n(.*?)```", re.DOTALL)

#: The client of a hub in this process, on virtual time that stands still: `tour` waits for an hour first.
IN_PROCESS = """
import durable_ray
from durable_ray.testing import TestHub
_hub = TestHub(auto_advance=False)
durable_ray.Client = lambda: _hub.client
"""
ON_RAY = """
import ray
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
"""


def run(script: str, folder: Path) -> str:
    file = folder / "readme.py"
    file.write_text(script, encoding="utf-8")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "XDG_STATE_HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_blocks_run(tmp_path: Path) -> None:
    blocks = [code for on_ray, code in BLOCK.findall(README) if not on_ray]
    assert len(blocks) == 4
    said = run(IN_PROCESS + "\n".join(blocks), tmp_path)
    assert said.splitlines()[0] == "['Hello Tokyo!', 'Hello Seattle!', 'Hello London!']"
    assert f"It prints `{said.splitlines()[0]}`" in README


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_the_python_blocks_run_on_ray(tmp_path: Path) -> None:
    blocks = [code for _, code in BLOCK.findall(README)]
    assert any("ray.get_actor" in code for code in blocks)
    run(ON_RAY + "\n".join(blocks), tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_named_files_exist(page: str) -> None:
    file = ROOT / page
    text = file.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    named = re.findall(r"`((?:actors|orchestrations|durable_ray|tests|docs|examples)/[\w/.]+\.\w+)`", text)
    missing = [link for link in links if not (file.parent / link).exists()]
    missing += [name for name in named if not (ROOT / name).exists()]
    assert not missing, f"{page} names what is not there: {missing}"


def test_the_figures_are_those_that_were_kept() -> None:
    assert summary.tables() in README, "run `python -m benchmarks.summary`"
