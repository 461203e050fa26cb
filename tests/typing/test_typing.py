"""mypy --strict and pyright know every result in a user's file, and find every wrong argument: `examples.py` says which."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from tests.sources import ROOT

EXAMPLES = Path(__file__).with_name("examples.py")


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    """The examples in a directory of a user, where nothing configures a type checker but what is put there."""
    return Path(shutil.copy(EXAMPLES, tmp_path))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with an editable install, which is a path; the dependencies are those of this one."""
    venv.create(tmp_path / "environment", with_pip=False)
    (packages,) = (tmp_path / "environment").glob("lib/*/site-packages")
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"][""]
    (packages / "editable.pth").write_text(f"{ROOT / found}\n{sysconfig.get_path('purelib')}\n")
    return tmp_path / "environment"


def expected() -> list[int]:
    lines = EXAMPLES.read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# error")]


def test_an_editable_install_has_the_package_and_nothing_else() -> None:
    names = [path.name for path in (ROOT / "src").iterdir() if path.suffix != ".egg-info"]
    assert names == ["durable_ray"]
    assert (ROOT / "src" / "durable_ray").resolve() == ROOT / "durable_ray"


def test_mypy_strict(user_file: Path, environment: Path) -> None:
    # Without its own sources ray is checked in seconds, not in half a minute.
    config = user_file.with_name("mypy.ini")
    config.write_text("[mypy]\nstrict = true\n[mypy-ray.*]\nfollow_imports = skip\n")
    python = ["--python-executable", str(environment / "bin" / "python")]
    done = checked(
        ["mypy", "--no-incremental", "--config-file", str(config), *python, user_file.name], user_file.parent
    )
    found = re.findall(rf"^{user_file.name}:(\d+): error:", done, re.MULTILINE)
    assert sorted({int(line) for line in found}) == expected(), done


def test_pyright(user_file: Path, environment: Path) -> None:
    config = user_file.with_name("pyrightconfig.json")
    where = {"venvPath": str(environment.parent), "venv": environment.name}
    config.write_text(json.dumps({**where, "include": [user_file.name]}))
    answer = json.loads(checked(["pyright", "--outputjson", "--project", str(config)], user_file.parent))
    found = {one["range"]["start"]["line"] + 1 for one in answer["generalDiagnostics"] if one["severity"] == "error"}
    assert sorted(found) == expected(), answer["generalDiagnostics"]
    assert answer["summary"]["filesAnalyzed"] == 1


def checked(command: list[str], where: Path) -> str:
    """What a checker says of the folder, run as a module of this interpreter."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, cwd=where, env=environment, timeout=110
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout
