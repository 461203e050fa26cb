"""DBOS: engine, worker and client in one process, its steps run in that process. Runs in an environment of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dbos import DBOS, DBOSClient

from benchmarks.contender import CITIES, Contender

_HISTORY = 14_000


@DBOS.step()
def say(city: str) -> str:
    return f"Hello {city}!"


@DBOS.step()
async def same_async(number: int) -> int:
    return number


@DBOS.step()
def same(number: int) -> int:
    return number


@DBOS.workflow()
def hello(_: Any = None) -> list[str]:
    return [say(city) for city in CITIES]


@DBOS.workflow()
async def fan(n: int) -> int:
    return sum(await asyncio.gather(*[same_async(number) for number in range(n)]))


@DBOS.workflow()
async def event(_: Any = None) -> Any:
    return await DBOS.recv_async("go", timeout_seconds=600)


@DBOS.workflow()
async def count(n: int) -> int:
    total = 0
    while total < n:
        total += await DBOS.recv_async("go", timeout_seconds=60)
    return total


@DBOS.workflow()
async def sleep1(_: Any = None) -> int:
    await DBOS.sleep_async(1.0)
    return 1


@DBOS.workflow()
def empty(_: Any = None) -> None:
    return None


@DBOS.workflow()
def long(n: int) -> int:
    for number in range(n):
        same(number)
    return n


_SHAPES = {one.__name__: one for one in (hello, fan, event, count, sleep1, empty, long)}


def _launch(url: str) -> None:
    config: Any = {
        "name": "peers",
        "system_database_url": url,
        "log_level": "ERROR",
        "application_version": "1",
        "executor_id": "local",
    }
    DBOS(config=config)
    DBOS.launch()


class Dbos(Contender):
    """One DBOS application; `url` of its system database."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url

    def start(self) -> None:
        _launch(self._url)

    def stop(self) -> None:
        DBOS.destroy()

    def call(self, shape: str, arg: Any = None) -> Any:
        if shape in ("hello", "empty", "long"):
            return _SHAPES[shape](arg)
        return super().call(shape, arg)

    def start_many(self, shape: str, n: int, arg: Any = None) -> list[Any]:
        return [DBOS.start_workflow(_SHAPES[shape], arg) for _ in range(n)]

    def wait_many(self, handles: Sequence[Any]) -> list[Any]:
        return [handle.get_result() for handle in handles]

    def send_many(self, handles: Sequence[Any], value: Any) -> None:
        for handle in handles:
            DBOS.send(handle.workflow_id, value, "go")

    def fill(self, n: int) -> list[Any]:
        handles: list[Any] = []
        end = time.perf_counter() + 30
        while len(handles) < min(n, _HISTORY) and time.perf_counter() < end:
            batch = self.start_many("empty", 200)
            self.wait_many(batch)
            handles += batch
        return handles

    def page(self, since: float, until: float) -> int:
        times = [datetime.fromtimestamp(moment, UTC).isoformat() for moment in (since, until + 1)]
        found = DBOS.list_workflows(
            status="SUCCESS",
            start_time=times[0],
            end_time=times[1],
            limit=100,
            load_input=False,
            load_output=False,
        )
        return len(found)

    def get(self, handle: Any) -> Any:
        return DBOS.get_workflow_status(handle.workflow_id)

    def replay(self, handle: Any, n: int) -> float:
        """A fork at the last step copies the recorded ones, then replays them."""
        began = time.perf_counter()
        assert DBOS.fork_workflow(handle.workflow_id, n).get_result(polling_interval_sec=0.05) == n
        return time.perf_counter() - began

    def recovery(self, n: int) -> dict[str, float]:
        url = self._url.replace("dbos.sqlite", "dbos-w5.sqlite")

        def worker(many: int) -> tuple[subprocess.Popen[str], list[str]]:
            command = [sys.executable, "-m", "benchmarks.peers.dbos_peer", str(many)]
            environment = os.environ | {"BENCHMARK_DBOS_URL": url}
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            return process, process.stdout.readline().split()

        process, ids = worker(n)
        time.sleep(2)
        began = time.perf_counter()
        process.kill()
        process.wait()
        process, _ = worker(0)
        client = DBOSClient(system_database_url=url)
        for workflow_id in ids:
            client.send(workflow_id, 1, "go")
        done, end = 0, time.perf_counter() + 60
        while done < n and time.perf_counter() < end:
            done = len(client.list_workflows(workflow_ids=ids, status="SUCCESS"))
            time.sleep(0.05)
        took = time.perf_counter() - began
        client.destroy()
        process.kill()
        process.wait()
        return {"s from the kill": took, "lost": n - done}


def make(options: dict[str, Any]) -> Contender:
    """The contender that `serve` was asked for."""
    return Dbos(options["name"], options["url"])


if __name__ == "__main__":
    _launch(os.environ["BENCHMARK_DBOS_URL"])
    print(*[DBOS.start_workflow(event).workflow_id for _ in range(int(sys.argv[1]))], flush=True)
    time.sleep(3600)
