"""Gives each peer an environment of its own, once: a venv (and an npm prefix) in the user's cache directory.

Nothing is installed beside durable_ray's own packages, so no peer's pins can change what is measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contender import Skip

_SECONDS = 600


@dataclass(frozen=True)
class Needs:
    """What a peer is installed from: pip requirements and npm packages, with the versions that were measured."""

    name: str
    pip: tuple[str, ...]
    npm: tuple[str, ...] = ()


DBOS = Needs("dbos", ("dbos==3.4.0", "psycopg[binary]"))
RESTATE = Needs(
    "restate", ("restate-sdk[serde]==1.3.0", "hypercorn", "aiohttp"), ("@restatedev/restate-server@1.7.12",)
)


def home() -> Path:
    """Where environments are kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "durable_ray" / "benchmarks"


def folder_of(needs: Needs) -> Path:
    """This peer's environment."""
    return home() / needs.name


def python_of(needs: Needs) -> Path:
    """The interpreter in which a peer runs; installs it if it is not there. Raises Skip with the reason."""
    folder = folder_of(needs)
    stamp = folder / "installed"
    wanted = "\n".join((*needs.pip, *needs.npm))
    python = folder / "venv" / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    folder.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder / "venv")], needs)
    _run([str(python), "-m", "pip", "install", "--quiet", *needs.pip], needs)
    if needs.npm:
        npm = shutil.which("npm")
        if npm is None:
            raise Skip("its server comes from npm, which is not installed")
        _run([npm, "install", "--no-fund", "--no-audit", "--prefix", str(folder), *needs.npm], needs)
    stamp.write_text(wanted)
    return python


def _run(command: list[str], needs: Needs) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Skip(f"installing {needs.name} took over {_SECONDS} s") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Skip(f"{needs.name} could not be installed: {' '.join(last)[:200]}")


def main() -> None:
    """Install all that can be."""
    for needs in (DBOS, RESTATE):
        try:
            print(needs.name, python_of(needs), flush=True)
        except Skip as why:
            print(needs.name, "skipped:", why, flush=True)


if __name__ == "__main__":
    main()
