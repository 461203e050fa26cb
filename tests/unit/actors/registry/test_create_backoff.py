"""Putting off: pauses grow, one timer each, and a later life of an ID has nothing to do with them."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from durable_ray.actors.registry import admission
from durable_ray.actors.registry.admission import CreateBackoff
from durable_ray.actors.store.records import InstanceRow
from durable_ray.testing import TestHub
from tests.ray.orchestrators import wait_for_go


@pytest.fixture(scope="module")
def row() -> InstanceRow:
    with TestHub() as hub:
        hub.client.start_new(wait_for_go, instance_id="i")
        return hub.store.rows(["i"])["i"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_FIRST_PAUSE", 0.01)


async def test_pauses_grow_and_each_ends_once(row: InstanceRow) -> None:
    ended: list[float] = []
    loop = asyncio.get_running_loop()
    put_off = CreateBackoff(lambda: ended.append(loop.time()))
    for number in range(4):
        began = loop.time()
        put_off.failed(row)
        assert row in put_off
        async with asyncio.timeout(10):
            while len(ended) == number:
                await asyncio.sleep(0.001)
        assert row not in put_off
        assert ended[-1] - began >= 0.01 * 2**number - 0.001


async def test_failures_close_upon_each_other_are_one_pause(row: InstanceRow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_FIRST_PAUSE", 0.2)
    ended: list[None] = []
    put_off = CreateBackoff(lambda: ended.append(None))
    for _ in range(3):
        put_off.failed(row)
    await asyncio.sleep(0.21)
    assert row in put_off, "the last pause counts"
    async with asyncio.timeout(10):
        while not ended:
            await asyncio.sleep(0.01)
    assert len(ended) == 1


async def test_who_has_come_is_not_passed_over(row: InstanceRow) -> None:
    put_off = CreateBackoff(lambda: None)
    put_off.failed(row)
    put_off.succeeded("i")
    assert row not in put_off
    assert len(put_off) == 0


async def test_a_later_life_does_not_wait_for_an_earlier_one(row: InstanceRow) -> None:
    put_off = CreateBackoff(lambda: None)
    put_off.failed(row)
    later = replace(row, execution_id="later")
    assert later not in put_off
    put_off.failed(later)
    assert later in put_off
    assert put_off._pauses["i"] == ("later", 0.01)


async def test_those_that_never_come_are_not_remembered_for_ever(
    row: InstanceRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_FIRST_PAUSE", 0.0)
    put_off = CreateBackoff(lambda: None)
    for number in range(3_000):
        put_off.failed(replace(row, instance_id=f"i{number}"))
        await asyncio.sleep(0)
    while len(put_off):
        await asyncio.sleep(0.001)
    assert len(put_off._pauses) < 1_010
