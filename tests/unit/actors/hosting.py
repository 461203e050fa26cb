"""What tests of hosts and of their parts stand on: a real store in memory, and time that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import durable_ray as dr
from durable_ray.actors.activities.dispatcher import Crashed, Dispatcher, Job
from durable_ray.actors.activities.limiter import ActivityLimiter
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation, OnResult
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.code.packing import pack
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import DefinitionRow

START = 1_900_000_000_000_000


def new_store() -> Store:
    """An empty store, booted."""
    store = open_store("sqlite://")
    store.acquire_hub("test", "cluster", "address", START, 1, "{}")
    return store


def row_of(definition: Any, runtime_env: str | None = None) -> DefinitionRow:
    """A definition as the store keeps it."""
    packed = pack(definition, job_runtime_env=None)
    return DefinitionRow(
        packed.kind,
        packed.name,
        packed.version,
        packed.code_id,
        packed.how,
        packed.body,
        packed.options_json,
        runtime_env,
    )


def new_library(*definitions: Any, store: Store | None = None) -> DefinitionCache:
    """A library that knows these."""
    store = store or new_store()
    store.put_definitions([row_of(definition) for definition in definitions])
    definition_cache = DefinitionCache(store)
    definition_cache.refresh()
    return definition_cache


class ToldClock:
    """A clock that says what it was told; its alarms ring when `pass_to` says so."""

    def __init__(self, at: int = START) -> None:
        self.at = at
        self.alarms: list[list[Any]] = []

    def now(self) -> int:
        return self.at

    def call_at(self, at: int, call: Callable[[], None]) -> Any:
        entry = [at, call]
        self.alarms.append(entry)

        class Alarm:
            def cancel(_) -> None:
                if entry in self.alarms:
                    self.alarms.remove(entry)

        return Alarm()

    def pass_to(self, at: int) -> None:
        self.at = at
        while due := [entry for entry in self.alarms if entry[0] <= at]:
            first = min(due, key=lambda entry: entry[0])
            self.alarms.remove(first)
            first[1]()


class Slate:
    """A way that runs nothing: a test answers, or lets the process die."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.cancelled: list[Address] = []
        self.acknowledged: list[Address] = []
        self.told: OnResult
        self.crashed: Crashed

    def made(self, told: OnResult, crashed: Crashed) -> Slate:
        self.told, self.crashed = told, crashed
        return self

    def submit(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def cancel(self, address: Address) -> None:
        self.cancelled.append(address)

    def acknowledge(self, addresses: Any) -> None:
        self.acknowledged += addresses

    async def adopt(self) -> None: ...

    async def close(self) -> None: ...


@dr.activity(name="unit.double")
def double(value: int) -> int:
    return 2 * value


@dr.activity(name="unit.hasty", timeout=5)
def hasty(value: int) -> int:
    return value


def invocation(
    definition: Any, task_id: int = 1, attempt: int = 1, value: str = "21", code_id: str | None = None
) -> Invocation:
    """One attempt of an activity of instance "i"."""
    code = pack(definition, job_runtime_env=None).code_id if code_id is None else code_id
    return Invocation(Address("i", "e", task_id, attempt), definition.name, code, value)


def limiting(
    definition_cache: DefinitionCache, store: Store | None = None, peers: Any = None, host: str = "h"
) -> ActivityLimiter:
    """The limiter of a host."""
    store = store or new_store()

    async def blocking(call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, call)

    settings = HubSettings().settled()
    fence = store.acquire_lease(host)
    return ActivityLimiter(store, fence, definition_cache, settings, peers, lambda instance_id: 0, blocking)


def dispatching(
    *definitions: Any, clock: ToldClock | None = None
) -> tuple[Dispatcher, Slate, list[ActivityResult], DefinitionCache]:
    """A dispatcher whose only way is a slate; code of `definitions` is in memory."""
    definition_cache = new_library(*definitions)
    for definition in definitions:
        known = definition_cache.known_activity(definition.name)
        assert known is not None
        definition_cache.packed("activity", definition.name, known.row.code_id)
    slate, results = Slate(), []
    dispatcher = Dispatcher(
        lambda address, result: results.append(result),
        definition_cache,
        clock or ToldClock(),
        limiting(definition_cache),
        {"local": slate.made},
    )
    return dispatcher, slate, results, definition_cache


async def until(true: Callable[[], Any]) -> None:
    """Wait for something that other threads bring about."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)
