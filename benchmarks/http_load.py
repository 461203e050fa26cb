"""Many clients at once on the HTTP gateway: does it hold, is every start kept, how long do the slowest percent take?

    python -m benchmarks.http_load                       a cluster, a hub and a gateway of its own
    python -m benchmarks.http_load --url URL --key KEY   a gateway that runs (with `load.approval` deployed)

Each client does the same over and over: start an instance, look at it, send it an event, wait for its output, compare.
Clients run in processes of their own, so that the gateway is measured and not they. Fails on any 5xx, wrong output or
lost start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import ray

import durable_ray as dr
from durable_ray.http.actor import serve_detached, stop_detached
from durable_ray.http.keys import Access, kept_keyring
from durable_ray.http.settings import GatewaySettings

HOOKS = "/runtime/webhooks/durabletask"


@dr.orchestrator(name="load.approval")
async def approval(ctx: dr.OrchestrationContext, number: int) -> Any:
    return [number, await ctx.wait_for_external_event("go")]


@dataclass
class Tally:
    """What a process of clients saw."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    codes: Counter[int] = field(default_factory=Counter)
    started: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for step, seconds in other.seconds.items():
            self.seconds.setdefault(step, []).extend(seconds)
        self.codes += other.codes
        self.started += other.started
        self.wrong += other.wrong


class LoadClient:
    """One client, on a connection that it keeps."""

    def __init__(self, http: httpx.AsyncClient, tally: Tally) -> None:
        self._http = http
        self._tally = tally

    async def run(self, until: float, number: int) -> None:
        while time.monotonic() < until:
            try:
                await self._life(number)
            except httpx.TransportError as error:
                self._tally.codes[599] += 1
                self._tally.wrong.append(repr(error))
            number += 1

    async def _life(self, number: int) -> None:
        begun = await self._timed("start", lambda: self._http.post(f"{HOOKS}/orchestrators/load.approval", json=number))
        if begun.status_code != 202:
            return
        instance_id = begun.json()["id"]
        self._tally.started.append(instance_id)
        await self._timed("query", lambda: self._http.get(f"{HOOKS}/instances/{instance_id}"))
        sent = {"n": number}
        event = f"{HOOKS}/instances/{instance_id}/raiseEvent/go"
        await self._timed("event", lambda: self._http.post(event, json=sent))
        wait = f"/api/v1/instances/{instance_id}?wait=30"
        done = await self._timed("wait", lambda: self._http.get(wait))
        if done.status_code != 200 or done.json()["output"] != [number, sent]:
            self._tally.wrong.append(f"{instance_id}: {done.status_code} {done.text[:200]}")

    async def _timed(self, step: str, call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        began = time.perf_counter()
        answer = await call()
        self._tally.seconds.setdefault(step, []).append(time.perf_counter() - began)
        self._tally.codes[answer.status_code] += 1
        return answer


def clients(url: str, key: str, count: int, seconds: float, results: Any) -> None:
    """One process of clients."""

    async def run() -> Tally:
        tally = Tally()
        limits = httpx.Limits(max_connections=count, max_keepalive_connections=count)
        headers = {"x-functions-key": key}
        async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60) as http:
            until = time.monotonic() + seconds
            await asyncio.gather(*(LoadClient(http, tally).run(until, n * 1_000_000) for n in range(count)))
        return tally

    results.put(asyncio.run(run()))


def load(url: str, key: str, count: int, seconds: float, processes: int) -> Tally:
    """Run all clients; what they saw together."""
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    share = [count // processes + (n < count % processes) for n in range(processes)]
    workers = [spawn.Process(target=clients, args=(url, key, part, seconds, results)) for part in share]
    for worker in workers:
        worker.start()
    tally = Tally()
    for _ in workers:
        tally.add(results.get(timeout=seconds + 120))
    for worker in workers:
        worker.join()
    return tally


def lost(url: str, key: str, started: list[str]) -> list[str]:
    """Which of these the hub does not know as completed."""
    known: set[str] = set()
    token = ""
    with httpx.Client(base_url=url, headers={"x-functions-key": key}, timeout=60) as http:
        while True:
            query = {"status": "Completed", "name": "load.approval", "limit": "1000", "show_payloads": "false"}
            page = http.get("/api/v1/instances", params=query | ({"token": token} if token else {})).json()
            known |= {instance["instance_id"] for instance in page["instances"]}
            token = page["continuation_token"]
            if not token:
                return [instance_id for instance_id in started if instance_id not in known]


def report(tally: Tally, missing: list[str], seconds: float) -> dict[str, Any]:
    """The figures."""
    steps = {}
    for step, taken in tally.seconds.items():
        taken.sort()
        at = {f"p{q}_ms": round(taken[min(len(taken) - 1, len(taken) * q // 100)] * 1000, 1) for q in (50, 95, 99)}
        steps[step] = {"count": len(taken), **at, "max_ms": round(taken[-1] * 1000, 1)}
    return {
        "lives": len(tally.started),
        "lives_per_second": round(len(tally.started) / seconds, 1),
        "requests_per_second": round(sum(tally.codes.values()) / seconds, 1),
        "codes": {str(code): count for code, count in sorted(tally.codes.items())},
        "lost_starts": len(missing),
        "wrong": tally.wrong[:5],
        "steps": steps,
    }


@contextmanager
def own_gateway() -> Iterator[tuple[str, str]]:
    """A cluster, a hub and a gateway for the time of the block."""
    with tempfile.TemporaryDirectory() as folder:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            client = dr.Client(hub="load", store=f"sqlite:///{folder}/load.db")
            client.register(approval)
            keys = Path(folder) / "keys.json"
            url = serve_detached(client._link, GatewaySettings(port=0, keys_file=keys))
            key = kept_keyring(keys).first(Access.FULL)
            assert key is not None
            yield url, key.secret
            stop_detached(client._link)
        finally:
            ray.shutdown()


def main() -> int:
    """Run the load; 0 if it held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="of a gateway that runs; by default one is started")
    parser.add_argument("--key", default="", help="its key")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--processes", type=int, default=2, help="over which the clients are spread")
    asked = parser.parse_args()

    def run(url: str, key: str) -> int:
        tally = load(url, key, asked.clients, asked.seconds, asked.processes)
        missing = lost(url, key, tally.started)
        print(json.dumps(report(tally, missing, asked.seconds), indent=2))
        failed = any(code >= 500 for code in tally.codes) or missing or tally.wrong or not tally.started
        return 1 if failed else 0

    if asked.url:
        return run(asked.url, asked.key)
    with own_gateway() as (url, key):
        return run(url, key)


if __name__ == "__main__":
    sys.exit(main())
