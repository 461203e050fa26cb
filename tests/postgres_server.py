"""A private PostgreSQL for the tests: its own data directory, its own port, gone afterwards.

The tests promise that what was committed survives `kill -9`, so the server runs with its shipped durability
(fsync on) and can be stopped the rough way in the middle of a test. Never a server that was already there:
nobody's data is touched, and two test runs at once do not meet.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg

#: The superuser inside the server, and the system account that runs it for root (initdb refuses root itself).
ACCOUNT = "postgres"


class PostgresUnavailable(Exception):
    """This machine cannot run a PostgreSQL of our own; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One server: where its programs and data are, and where it listens."""

    programs: Path
    folder: Path
    port: int

    def url(self, database: str = "postgres") -> str:
        """The address of a database on this server, as `postgresql://` URL."""
        return f"postgresql://{ACCOUNT}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Lay out an empty data directory."""
        self._run("initdb", "--auth=trust", f"--username={ACCOUNT}", "--encoding=UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Start, and return once it takes connections (after a crash: once it has recovered)."""
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c max_connections=200 -k {self.folder}"
        self._run("pg_ctl", "--wait", f"--log={self.folder}/log", f"--options={settings}", "start")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop: "fast" closes cleanly, "immediate" is a crash that the next start has to recover from."""
        self._run("pg_ctl", "--wait", f"--mode={mode}", "stop")

    def execute(self, statement: str) -> None:
        """Run one administrative statement, outside any transaction."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def is_running(self) -> bool:
        """Whether the postmaster has left its pid file in place."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), f"--pgdata={self.folder}/data", *arguments]
        # Output goes to a file: the server inherits it, so a pipe would never see its end.
        with (self.folder / f"{program}.out").open("w+") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.folder,
                timeout=90, check=False, start_new_session=True, **_run_as(),
            )  # fmt: skip
            output.seek(0)
            if done.returncode != 0:
                raise PostgresUnavailable(f"{program} failed: {output.read().strip()}")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a private server and remove it with its data afterwards.

    Raises:
        PostgresUnavailable: no PostgreSQL programs, no account to run them, or the server does not start.
    """
    programs = _find_programs()
    # Not pytest's tmp_path: that lies below a directory which the server's account may not enter.
    with tempfile.TemporaryDirectory(prefix="durable-ray-pg-", ignore_cleanup_errors=True) as name:
        server = PostgresServer(programs, Path(name), _free_port())
        if os.geteuid() == 0:
            shutil.chown(name, ACCOUNT)
        server.create()
        try:
            server.start()
            yield server
        finally:
            if server.is_running():
                server.stop("immediate")


def _find_programs() -> Path:
    """The newest PostgreSQL here: Debian keeps the server's programs outside PATH, by version."""
    by_version = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not by_version and on_path is None:
        raise PostgresUnavailable(
            "no initdb on PATH or in /usr/lib/postgresql/*/bin; scripts/test_servers.sh installs it"
        )
    if os.geteuid() == 0 and not _account_exists():
        raise PostgresUnavailable(f"initdb refuses to run as root, and there is no account {ACCOUNT!r} to run it as")
    return by_version[-1].parent if by_version else Path(str(on_path)).resolve().parent


def _account_exists() -> bool:
    return any(entry.pw_name == ACCOUNT for entry in pwd.getpwall())


def _run_as() -> dict[str, str | list[str]]:
    return {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
