"""The Ray that `up` starts on this machine: one process that owns the others; `down` ends it and no other.

`ray stop` would end every Ray of this user on this machine. `ray start --block` in a session of its own keeps the
head's processes as children and ends them when it is stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from durable_ray.actors.clock import monotonic
from durable_ray.actors.store.urls import state_folder
from durable_ray.cli.exits import CommandError, Exit

_START_SECONDS = 90.0
_STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class LocalRay:
    """What is noted of a head that was started here."""

    pid: int
    #: When the process began, as `ps` shows it: another process may get the same ID later.
    began: str
    address: str
    log: str
    dashboard: str = ""
    #: Where Ray noted the address, for programs that name none.
    address_file: str = ""

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return bool(self.began) and _began(self.pid) == self.began


def note_file() -> Path:
    """Where the head started here is noted."""
    return state_folder() / "ray.json"


def noted() -> LocalRay | None:
    """The head that was started here, if it still runs."""
    found = _note()
    return found if found is not None and found.alive else None


def forget_dead() -> None:
    """Forget a head that was started here and killed since (by a reboot, for example)."""
    found = _note()
    if found is not None and not found.alive:
        _forget(found)


def _note() -> LocalRay | None:
    try:
        return LocalRay(**json.loads(note_file().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _forget(ray: LocalRay) -> None:
    """Take away the notes about a head that has ended: ours, and Ray's, with which the next `ray.init()` without an address
    would wait for a cluster that is gone. Not if that names another cluster by now."""
    note_file().unlink(missing_ok=True)
    file = Path(ray.address_file)
    with contextlib.suppress(OSError):
        if ray.address_file and file.read_text(encoding="utf-8").strip() == ray.address:
            file.unlink()


def start_head(port: int, arguments: Sequence[str]) -> LocalRay:
    """Start a Ray head and wait until it serves. Raises Problem with the end of its log if it does not."""
    folder = state_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = dict(os.environ)
    # RAY_ADDRESS would make the head join another; a job's own variables would be its actors' too.
    for name in [n for n in environment if n == "RAY_ADDRESS" or n.startswith("RAY_JOB_")]:
        del environment[name]
    # `down` has ended the hub's actors when it ends Ray: nothing is left for which Ray would wait half a minute.
    environment.setdefault("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "0")
    ensure_token(environment)
    log = folder / "ray.log"
    command = [*ray_command(), "start", "--head", "--block", f"--port={port}", *arguments]
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    began = _began(process.pid)
    address, dashboard = _until_it_serves(process, log, port)
    started = LocalRay(process.pid, began, address, str(log), dashboard, str(address_file(arguments, environment)))
    note_file().write_text(json.dumps(asdict(started)), encoding="utf-8")
    return started


def address_file(arguments: Sequence[str], environment: Mapping[str, str]) -> Path:
    """Where a head that is started like this notes its address.

    Example:
        >>> address_file(["--temp-dir=/scratch/ray"], {})
        PosixPath('/scratch/ray/ray_current_cluster')
    """
    beside = environment.get("TMPDIR") if sys.platform.startswith("linux") else None
    folder = Path(environment.get("RAY_TMPDIR") or beside or "/tmp") / "ray"
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        option, _, value = argument.partition("=")
        if option == "--temp-dir" and (value or following):
            folder = Path(value or following)
    return folder / "ray_current_cluster"


def ensure_token(environment: Mapping[str, str]) -> None:
    """Make Ray's token if there is none: without one, everyone who reaches the port may run code."""
    if environment.get("RAY_AUTH_TOKEN") or environment.get("RAY_AUTH_TOKEN_PATH") or environment.get("RAY_AUTH_MODE"):
        return
    path = token_file()
    if not path.exists():
        command = [*ray_command(), "get-auth-token", "--generate"]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if path.exists():
            path.chmod(0o600)


def token_file() -> Path:
    """Where Ray keeps its token."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def ray_command() -> list[str]:
    """Ray's own command line, of this environment."""
    found = shutil.which("ray", path=str(Path(sys.executable).parent))
    return [found] if found else [sys.executable, "-m", "ray.scripts.scripts"]


def _until_it_serves(process: subprocess.Popen[bytes], log: Path, port: int) -> tuple[str, str]:
    until = monotonic() + _START_SECONDS
    while monotonic() < until:
        output = log.read_text(encoding="utf-8", errors="replace")
        if "Ray runtime started" in output:
            host = re.search(r"Local node IP: (\S+)", output)
            dashboard = re.search(r"https?://[\d.]+:\d+", output)
            return f"{host[1] if host else '127.0.0.1'}:{port}", dashboard[0] if dashboard else ""
        if process.poll() is not None:
            break
        time.sleep(0.1)
    if process.poll() is None:
        process.terminate()
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "rror" in line] or lines
    raise CommandError(
        Exit.UNAVAILABLE, f"Ray did not start: {errors[-1] if errors else 'it printed nothing'}", f"its output: {log}"
    )


def stop(ray: LocalRay) -> bool:
    """End the head that was started here, with all its processes; whether it has ended."""
    if ray.alive:
        os.kill(ray.pid, signal.SIGTERM)
    until = monotonic() + _STOP_SECONDS
    while ray.alive and monotonic() < until:
        time.sleep(0.1)
    if ray.alive:
        return False
    _forget(ray)
    return True


def _began(pid: int) -> str:
    """When a process began; "" if there is none (a zombie is none)."""
    environment = {**os.environ, "LC_ALL": "C"}
    asked = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    output = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False).stdout.split()
    return " ".join(output[1:]) if output and not output[0].startswith("Z") else ""
