"""durable_ray itself as a contender, once for each way to run an activity; all share one hub."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray

import durable_ray as dr
from benchmarks.contender import Contender, Skip
from benchmarks.filling import filled
from benchmarks.measure import family, latencies, percentile
from benchmarks.programs import SHAPES
from benchmarks.replaying import growth, replayed
from durable_ray.actors.cluster.handles import find
from durable_ray.actors.cluster.stopping import stop_hub
from durable_ray.actors.store.opening import open_store
from durable_ray.client.operations.filters import query_of
from durable_ray.orchestrations.history.codec import decode_events

_PATIENCE = 120
#: Of how many instances of a sample the history is replayed.
_REPLAYED = 20


class Hub:
    """One hub on a store of its own, and the clients that all contenders on it share."""

    def __init__(self, folder: Path, name: str = "benchmark") -> None:
        self.name = name
        self.url = f"sqlite:///{folder / name}.db"
        self.settings = dr.HubSettings()
        #: Dedicated instances that were started.
        self.made: list[str] = []

    def start(self) -> None:
        """Bring it up and deploy the programs."""
        self.client = dr.Client(hub=self.name, store=self.url, settings=self.settings)
        self.client.register()
        self.async_client = dr.AsyncClient(hub=self.name)
        self.store = open_store(self.url)

    def stop(self) -> None:
        """End its actors."""
        self.store.close()
        stop_hub(self.name)


class DurableRay(Contender):
    """Orchestrations in shared placement, with activities of one kind."""

    durability = "every turn committed before it acts: SQLite WAL, synchronous=FULL"

    def __init__(self, hub: Hub, way: str = "workers") -> None:
        self.name = "durable_ray" if way == "workers" else f"durable_ray {way}"
        self._hub = hub
        self._shapes = SHAPES[way]
        # As long as there are no others: peers will be children of this process, too.
        self._cluster = family([os.getpid()]) - {os.getpid()}

    def start(self) -> None:
        # Every process that will run activities has then loaded what it needs, as those of raw Ray have.
        assert self.call("fan", 200) == sum(range(200))

    def call(self, shape: str, arg: Any = None) -> Any:
        return self._hub.client.start_new(self._shapes[shape], arg).wait_for_completion(_PATIENCE)

    def start_one(self, shape: str, arg: Any = None) -> Any:
        return self._hub.client.start_new(self._shapes[shape], arg)

    def start_many(self, shape: str, n: int, arg: Any = None) -> list[Any]:
        return list(self._hub.client.start_many(self._shapes[shape], [arg] * n))

    def wait_many(self, handles: Sequence[Any]) -> list[Any]:
        return self._hub.client.wait_many(handles, _PATIENCE)

    def gather(self, shape: str, n: int) -> list[Any]:
        client, orchestrator = self._hub.async_client, self._shapes[shape]

        async def one() -> Any:
            handle = await client.start_new(orchestrator)
            return await handle.wait_for_completion(_PATIENCE)

        async def all_of_them() -> list[Any]:
            return list(await asyncio.gather(*[one() for _ in range(n)]))

        return asyncio.run(all_of_them())

    def send_many(self, handles: Sequence[Any], value: Any) -> None:
        if len(handles) == 1:
            handles[0].raise_event("go", value)
            return
        self._send([handle.instance_id for handle in handles], value)

    def send_burst(self, handle: Any, n: int) -> None:
        self._send([handle.instance_id] * n, 1)

    def _send(self, instance_ids: Sequence[str], value: Any) -> None:
        client = self._hub.async_client

        async def all_of_them() -> None:
            await asyncio.gather(*[client.raise_event(instance_id, "go", value) for instance_id in instance_ids])

        asyncio.run(all_of_them())

    def recovery(self, n: int) -> dict[str, float]:
        handles = self.start_many("event", n)
        for handle in handles[-3:]:
            handle.wait_for_start()
        hosts = [f"partition-{number}" for number in range(self._hub.client._partitions)]
        before = {host: self._pid(host) for host in hosts}
        killed = time.perf_counter()
        for pid in before.values():
            os.kill(pid, 9)
        while any(self._pid(host) in (0, pid) for host, pid in before.items()):
            time.sleep(0.002)
        back = time.perf_counter()
        self.send_many(handles, 7)
        lost = sum(result != 7 for result in self.wait_many(handles))
        done = time.perf_counter()
        return {"s from the kill": done - killed, "s of them once it answers again": done - back, "lost": lost}

    def _pid(self, host: str) -> int:
        try:
            return int(ray.get(find(self._hub.name, host).pid.remote(), timeout=30))
        except Exception:
            return 0

    def pids(self) -> Collection[int]:
        """The hub's processes, and those of the other actors in this cluster, whose number does not change; no peer's."""
        if self.name != "durable_ray":
            raise Skip("how activities are run makes no difference")
        return {os.getpid(), *family(self._cluster)}

    def fill(self, n: int) -> list[Any]:
        if self.name != "durable_ray":
            raise Skip("how activities are run makes no difference")
        return filled(self._hub, n)

    def query_parts(self, since: float, until: float, handle: Any) -> dict[str, float]:
        registry, store = find(self._hub.name, "registry"), self._hub.store
        query = query_of(
            {"created_time_from": _moment(since), "created_time_to": _moment(until), "runtime_status": "Completed"}
        )
        call = percentile(latencies(lambda: ray.get(registry.ask.remote("counts", (), {})), 100, 3.0), 0.5)
        page = percentile(latencies(lambda: store.query(query, 100), 50, 3.0), 0.5)
        row = percentile(latencies(lambda: store.rows([handle]), 100, 3.0), 0.5)
        pages = percentile(latencies(lambda: self.page(since, until), 50, 5.0), 0.5)
        gets = percentile(latencies(lambda: self.get(handle), 100, 5.0), 0.5)
        counts = percentile(latencies(self._hub.client.counts, 100, 3.0), 0.5)
        newest = percentile(latencies(self._newest_of_a_name, 50, 3.0), 0.5)
        return {
            "counts p50 ms": counts,
            "newest 100 of a name p50 ms": newest,
            "bare call ms": call,
            "page query ms": page,
            "page over call and query ms": pages - page - call,
            "get over call and query ms": gets - row - call,
        }

    def dedicated(self) -> None:
        if self.name != "durable_ray":
            raise Skip("how activities are run makes no difference")
        handle = self._hub.client.start_new(self._shapes["event"], instance_id=uuid.uuid4().hex, placement="dedicated")
        handle.wait_for_start()
        self._hub.made.append(handle.instance_id)

    def page(self, since: float, until: float) -> int:
        found = self._hub.client.query_instances(
            page_size=100,
            created_time_from=_moment(since),
            created_time_to=_moment(until),
            runtime_status="Completed",
        )
        return len(found.instances)

    def _newest_of_a_name(self) -> None:
        self._hub.client.query_instances(page_size=100, name="empty", descending=True)

    def get(self, handle: Any) -> Any:
        return self._hub.client.get_status(handle if isinstance(handle, str) else handle.instance_id)

    def replay(self, handle: Any, n: int) -> float:
        events = [event for chunk in self._hub.store.history(handle.instance_id) for event in decode_events(chunk)]
        row = self._hub.store.rows([handle.instance_id])[handle.instance_id]
        return replayed(_BY_NAME[row.name], handle.instance_id, events)

    def replays(self, few: int, many: int) -> dict[str, float]:
        return growth(self._shapes["long"], few, many)

    def check(self, handles: Sequence[Any]) -> None:
        rows = self._hub.store.rows([handle.instance_id for handle in handles])
        assert len(rows) == len(handles)
        wrong = [row for row in rows.values() if row.status != "Completed"]
        assert not wrong, wrong[:3]
        for handle in handles[:: max(1, len(handles) // _REPLAYED)]:
            self.replay(handle, 0)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_BY_NAME = {shape.name: shape for shapes in SHAPES.values() for shape in shapes.values()}
