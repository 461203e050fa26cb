"""Restate: its server, one Python worker, and a client here over HTTP. Runs in an environment of its own.

A thousand events to one instance are a thousand one-way calls of a virtual object, Restate's keyed entity.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.contender import Contender
from benchmarks.measure import family


class Restate(Contender):
    """A server with its data in `folder`, from the npm package in `environment`."""

    name = "Restate"

    def __init__(self, folder: Path, environment: Path) -> None:
        self._folder = folder
        self._binary = environment / "node_modules" / ".bin" / "restate-server"

    def start(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._ports = [_free_port() for _ in range(4)]
        ingress, admin, self._worker_port, self._node_port = self._ports
        self._ingress, self._admin = f"http://127.0.0.1:{ingress}", f"http://127.0.0.1:{admin}"
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._http = self._do(self._session())
        self._up()
        self._do(self._post(f"{self._admin}/deployments", {"uri": f"http://127.0.0.1:{self._worker_port}"}))

    async def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))

    def _up(self) -> None:
        settings = {
            "RESTATE_BASE_DIR": str(self._folder),
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_BIND_IP": "127.0.0.1",
            "RESTATE_LOG_FILTER": "error",
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{self._ports[0]}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{self._ports[1]}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{self._node_port}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{self._node_port}",
        }
        worker = [sys.executable, "-m", "benchmarks.peers.restate_app", str(self._worker_port)]
        with (self._folder / "log").open("a") as log:
            self._worker = subprocess.Popen(worker, stdout=log, stderr=log)
            server = [str(self._binary), "--no-logo"]
            self._server = subprocess.Popen(server, env=os.environ | settings, stdout=log, stderr=log)
        end = time.monotonic() + 60
        for url in (f"{self._admin}/health", f"{self._ingress}/restate/health"):
            while time.monotonic() < end and self._do(self._status(url)) != 200:
                time.sleep(0.05)

    def _down(self, how: signal.Signals) -> None:
        # The worker is killed in any case: a graceful stop waits for streams that stay open.
        for process, sent in ((self._server, how), (self._worker, signal.SIGKILL)):
            for pid in family([process.pid]):
                os.kill(pid, sent)
            process.wait()

    def stop(self) -> None:
        self._do(self._http.close())
        self._down(signal.SIGTERM)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _status(self, url: str) -> int:
        try:
            async with self._http.get(url) as answer:
                return int(answer.status)
        except (aiohttp.ClientError, OSError):
            return 0

    async def _post(self, url: str, body: Any) -> Any:
        async with self._http.post(url, json=body, headers={"accept": "application/json"}) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{answer.status} {text[:200]}")
            return json.loads(text) if text else None

    def call(self, shape: str, arg: Any = None) -> Any:
        return self._do(self._post(f"{self._ingress}/{shape}/{uuid.uuid4().hex}/run", arg or 0))

    def start_many(self, shape: str, n: int, arg: Any = None) -> list[Any]:
        keys = [uuid.uuid4().hex for _ in range(n)]
        if shape == "count":
            return [(shape, key, None) for key in keys]

        async def start() -> list[Any]:
            urls = [f"{self._ingress}/{shape}/{key}/run" for key in keys]
            return [asyncio.ensure_future(self._post(url, arg or 0)) for url in urls]

        return [(shape, key, running) for key, running in zip(keys, self._do(start()), strict=True)]

    def wait_many(self, handles: Sequence[Any]) -> list[Any]:
        async def all_of_them() -> list[Any]:
            add = [running or self._post(f"{self._ingress}/count/{key}/add", 0) for _, key, running in handles]
            return list(await asyncio.gather(*add))

        found: list[Any] = self._do(all_of_them())
        return found

    def send_many(self, handles: Sequence[Any], value: Any) -> None:
        async def send() -> None:
            await asyncio.gather(*[self._post(f"{self._ingress}/event/{h[1]}/go", value) for h in handles])

        self._do(send())

    def send_burst(self, handle: Any, n: int) -> None:
        async def send() -> None:
            url = f"{self._ingress}/count/{handle[1]}/add/send"
            await asyncio.gather(*[self._post(url, 1) for _ in range(n)])

        self._do(send())

    def fill(self, n: int) -> list[Any]:
        handles: list[Any] = []
        end = time.perf_counter() + 30
        while len(handles) < min(n, 20_000) and time.perf_counter() < end:
            batch = self.start_many("empty", 500)
            self.wait_many(batch)
            handles += batch
        return handles

    def _sql(self, query: str) -> list[Any]:
        rows: list[Any] = self._do(self._post(f"{self._admin}/query", {"query": query}))["rows"]
        return rows

    def page(self, since: float, until: float) -> int:
        first, last = (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) for t in (since - 1, until + 1))
        return len(
            self._sql(
                "SELECT id, target, status, created_at, modified_at FROM sys_invocation WHERE status = 'completed' "
                f"AND created_at >= '{first}' AND created_at <= '{last}' ORDER BY created_at LIMIT 100"
            )
        )

    def get(self, handle: Any) -> Any:
        (found,) = self._sql(
            "SELECT id, status, created_at, completion_result FROM sys_invocation "
            f"WHERE target_service_name = '{handle[0]}' AND target_service_key = '{handle[1]}'"
        )
        return found

    def recovery(self, n: int) -> dict[str, float]:
        keys = [uuid.uuid4().hex for _ in range(n)]

        async def start() -> None:
            await asyncio.gather(*[self._post(f"{self._ingress}/event/{key}/run/send", 0) for key in keys])

        async def attach(key: str) -> int:
            async with self._http.get(f"{self._ingress}/restate/workflow/event/{key}/attach") as answer:
                return int(answer.status)

        async def finish() -> list[int]:
            await asyncio.gather(*[self._post(f"{self._ingress}/event/{key}/go", 1) for key in keys])
            return list(await asyncio.gather(*[asyncio.wait_for(attach(key), 60) for key in keys]))

        self._do(start())
        time.sleep(2)
        began = time.perf_counter()
        self._down(signal.SIGKILL)
        self._up()
        statuses = self._do(finish())
        took = time.perf_counter() - began
        return {"s from the kill": took, "lost": sum(status != 200 for status in statuses)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make(options: dict[str, Any]) -> Contender:
    """The contender that `serve` was asked for."""
    return Restate(Path(options["folder"]), Path(options["environment"]))
