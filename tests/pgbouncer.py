"""A private PgBouncer in front of the tests' PostgreSQL: its own port and folder, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.postgres_server import ACCOUNT, PostgresServer


class PgBouncerUnavailable(Exception):
    """There is no PgBouncer on this machine."""


@contextmanager
def running_pgbouncer(server: PostgresServer, mode: Literal["session", "transaction", "statement"]) -> Iterator[int]:
    """A pool of this mode; its port."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise PgBouncerUnavailable("no pgbouncer on PATH or in /usr/sbin; scripts/test_servers.sh installs it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="durable-ray-pool-") as name:
        folder = Path(name)
        (folder / "users").write_text(f'"{ACCOUNT}" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
            f"pool_mode = {mode}\nserver_reset_query = DISCARD ALL\n"
        )
        as_account: dict[str, str | int] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            as_account = {"user": ACCOUNT, "group": pwd.getpwnam(ACCOUNT).pw_gid}
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, ACCOUNT)
        with (folder / "log").open("w+") as log:
            process = subprocess.Popen(
                [program, str(folder / "pgbouncer.ini")],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                **as_account,  # type: ignore[call-overload]
            )
            try:
                _until_it_listens(port, process, folder / "log")
                yield port
            finally:
                process.kill()
                process.wait()


def _until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise PgBouncerUnavailable(f"pgbouncer does not start: {log.read_text()}")
