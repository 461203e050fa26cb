"""A peer as the driver sees it: a process in an environment of its own, asked for one sample at a time."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender, Skip
from benchmarks.peers.environments import DBOS, RESTATE, Needs, folder_of, python_of
from benchmarks.results import ROOT

_START_SECONDS = 120
_SAMPLE_SECONDS = 240


class Peer(Contender):
    """One engine in its own process."""

    def __init__(self, name: str, module: str, needs: Needs, durability: str, options: dict[str, Any]) -> None:
        self.name = name
        self.durability = durability
        self._module = module
        self._needs = needs
        self._options = options

    def start(self) -> None:
        python = python_of(self._needs)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.serve", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
        )
        self._ask(self._options)
        self._answer(_START_SECONDS)

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def sample(self, workload: Any, scale: Any) -> Mapping[str, float]:
        self._ask({"workload": workload.key, "scale": asdict(scale)})
        answer = self._answer(_SAMPLE_SECONDS)
        if "skip" in answer:
            raise Skip(answer["skip"])
        if "error" in answer:
            raise Skip(f"it failed: {answer['error']}")
        found: Mapping[str, float] = answer["figures"]
        return found

    def _ask(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Skip("its process has ended") from error

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            raise Skip(f"it did not answer within {seconds} s" if not ready else "its process has ended")
        found: dict[str, Any] = json.loads(line)
        return found


def peers(stack: ExitStack, folder: Path) -> list[Contender]:
    """DBOS on both its databases, and Restate. PostgreSQL is a private server that ends with `stack`."""
    sqlite = {"url": f"sqlite:///{folder}/dbos.sqlite", "name": "DBOS SQLite"}
    restate = {"folder": str(folder / "restate"), "environment": str(folder_of(RESTATE))}
    found: list[Contender] = [
        Peer("DBOS SQLite", "dbos_peer", DBOS, "every step committed: rollback journal, SQLite's default sync", sqlite),
        Peer("Restate", "restate_peer", RESTATE, "replicated log on one node, WAL synced (its defaults)", restate),
    ]
    try:
        found.insert(1, _on_postgres(stack))
    except Skip as why:
        print(f"DBOS PostgreSQL is not in this run: {why}")
    return found


def _on_postgres(stack: ExitStack) -> Contender:
    try:
        from tests.postgres_server import PostgresUnavailable, running_postgres
    except ImportError as error:
        raise Skip(str(error)) from error
    try:
        server = stack.enter_context(running_postgres())
    except PostgresUnavailable as error:
        raise Skip(str(error)) from error
    server.execute("CREATE DATABASE dbos")
    options = {"url": server.url("dbos"), "name": "DBOS PostgreSQL"}
    durability = "every step committed: fsync=on, synchronous_commit=on"
    return Peer("DBOS PostgreSQL", "dbos_peer", DBOS, durability, options)
