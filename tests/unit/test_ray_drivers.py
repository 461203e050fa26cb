"""Contract of the drivers' wires: whoever is called again is called over one, none is closed under a call, and one that no
longer answers is given up for the actor call, which knows who lives.
"""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from durable_ray.actors.wire.address import WireAddress
from durable_ray.actors.wire.listeners import LoopListener, ThreadListener
from durable_ray.client import ray_drivers
from durable_ray.client.ray_drivers import AsyncRayDriver, RayDriver
from durable_ray.client.steps import Call, Steps, TargetUnavailable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


class _Method:
    def __init__(self, remote: Callable[..., Any]) -> None:
        self.remote = remote


class Actor:
    """An actor as a handle shows it: it says by which way it was called."""

    def __init__(self, address: WireAddress | None) -> None:
        self.address = address
        self.wire = _Method(self._wire)
        self.packed = _Method(self._packed)

    async def _wire(self) -> WireAddress | None:
        return self.address

    async def _packed(self, call: bytes) -> bytes:
        return pickle.dumps("ray")


class Blocked(Actor):
    """The same for who blocks: a reference is the answer."""

    def __init__(self, address: WireAddress | None) -> None:
        super().__init__(address)
        self.wire = _Method(lambda: address)
        self.packed = _Method(lambda call: pickle.dumps("ray"))


class Link:
    """As many actors as are asked for."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self.find = make

    def get(self, ref: Any, seconds: float) -> Any:
        return ref

    def here(self, ref: Any) -> bool:
        return True


class Target:
    """What the test calls."""

    async def do(self) -> None: ...
    async def slow(self) -> None: ...
    async def lost(self) -> None: ...


def one(target: str, method: Callable[..., Any] = Target.do, seconds: float = 10.0) -> Steps[Any]:
    return (yield Call(target, method, (), {}, seconds))


async def listener(answer: Callable[[bytes], Awaitable[bytes]]) -> WireAddress:
    address = await LoopListener(answer).open()
    assert address is not None
    return address


async def at_once(call: bytes) -> bytes:
    return pickle.dumps("wire")


async def until_wired(driver: AsyncRayDriver, target: str) -> None:
    while await driver.run(one(target)) != "wire":
        await asyncio.sleep(0.001)


async def test_a_wire_that_makes_room_for_another_is_not_closed_under_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_drivers, "_MOST_WIRES", 1)
    gate = asyncio.Event()

    async def answer(call: bytes) -> bytes:
        if pickle.loads(call)[0] == "slow":
            await gate.wait()
        return pickle.dumps("wire")

    address = await listener(answer)
    driver = AsyncRayDriver(Link(lambda target: Actor(address)))  # type: ignore[arg-type]
    await until_wired(driver, "a")
    slow = asyncio.ensure_future(driver.run(one("a", Target.slow)))
    await asyncio.sleep(0)
    await until_wired(driver, "b")
    assert not slow.done()
    gate.set()
    assert await slow == "wire"


async def test_a_wire_over_which_no_answer_came_is_given_up_for_the_actor_call() -> None:
    """A process killed while a child it forked lives: the line stays open, and nobody is there."""

    async def answer(call: bytes) -> bytes:
        if pickle.loads(call)[0] == "lost":
            await asyncio.Event().wait()
        return pickle.dumps("wire")

    address = await listener(answer)
    driver = AsyncRayDriver(Link(lambda target: Actor(address)))  # type: ignore[arg-type]
    await until_wired(driver, "a")
    with pytest.raises(TargetUnavailable):
        await driver.run(one("a", Target.lost, 0.05))
    assert await driver.run(one("a")) == "ray"


def test_targets_called_once_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_drivers, "_MOST_ASKED", 10)
    driver = RayDriver(Link(lambda target: Blocked(None)))  # type: ignore[arg-type]
    for number in range(50):
        assert driver.run(one(f"host-{number}")) == "ray"
    assert len(driver._asked) == 10


def test_a_blocking_client_calls_over_the_wire_from_its_second_call_on() -> None:
    address = ThreadListener(lambda call: pickle.dumps("wire")).open()
    driver = RayDriver(Link(lambda target: Blocked(address)))  # type: ignore[arg-type]
    assert [driver.run(one("a")) for _ in range(3)] == ["ray", "wire", "wire"]


def test_each_event_loop_has_wires_of_its_own_and_they_end_with_it() -> None:
    address = ThreadListener(lambda call: pickle.dumps("wire")).open()
    driver = AsyncRayDriver(Link(lambda target: Actor(address)))  # type: ignore[arg-type]
    for _ in range(3):
        asyncio.run(until_wired(driver, "a"))
    gc.collect()
    assert len(driver._loops) == 1
