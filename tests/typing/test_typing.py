"""mypy --strict and pyright know every result in a user's file, and find every wrong argument: `examples.py` says which."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import ROOT

EXAMPLES = Path(__file__).with_name("examples.py")


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    """The examples in a directory of a user, where nothing configures a type checker but what is put there."""
    return Path(shutil.copy(EXAMPLES, tmp_path))


def expected() -> list[int]:
    lines = EXAMPLES.read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# error")]


def test_mypy_strict(user_file: Path) -> None:
    # Without its own sources ray is checked in seconds, not in half a minute.
    config = user_file.with_name("mypy.ini")
    config.write_text("[mypy]\nstrict = true\n[mypy-ray.*]\nfollow_imports = skip\n")
    done = checked(["mypy", "--no-incremental", "--config-file", str(config)], user_file, MYPYPATH=str(ROOT))
    found = re.findall(rf"^{user_file.name}:(\d+): error:", done, re.MULTILINE)
    assert sorted({int(line) for line in found}) == expected(), done


def test_pyright(user_file: Path) -> None:
    config = user_file.with_name("pyrightconfig.json")
    config.write_text(json.dumps({"extraPaths": [str(ROOT)], "include": [user_file.name]}))
    answer = json.loads(checked(["pyright", "--outputjson", "--project", str(config)]))
    found = {one["range"]["start"]["line"] + 1 for one in answer["generalDiagnostics"] if one["severity"] == "error"}
    assert sorted(found) == expected(), answer["generalDiagnostics"]
    assert answer["summary"]["filesAnalyzed"] == 1


def checked(command: list[str], file: Path | None = None, **environment: str) -> str:
    """What a checker says, run as a module of this interpreter."""
    where = file.parent if file else ROOT
    done = subprocess.run(
        [sys.executable, "-m", *command, *([file.name] if file else [])],
        capture_output=True,
        text=True,
        cwd=where,
        env={**os.environ, **environment},
        timeout=110,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout
