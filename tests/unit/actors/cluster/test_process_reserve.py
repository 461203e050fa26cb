"""Contract of the reserve: one process is asked for each that was taken, and none for starts that took none."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from durable_ray.actors.cluster import process_reserve
from durable_ray.actors.cluster.process_reserve import ProcessReserve


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []
    monkeypatch.setattr(process_reserve, "_prestart", asked.append)
    return asked


async def settled(asked: list[int], wanted: int) -> None:
    """Until so many were asked for, on whatever thread, and then a little longer: there may be more."""
    async with asyncio.timeout(10):
        while sum(asked) < wanted:
            await asyncio.sleep(0.001)
    for _ in range(3):
        await asyncio.to_thread(lambda: None)


async def test_each_that_is_taken_is_replaced(asked: list[int]) -> None:
    reserve = ProcessReserve(1)
    for number in range(10):
        with reserve.taken():
            pass
        await settled(asked, number + 1)
    # After the first one, and beside each of the others.
    assert sum(asked) == 10


async def test_starts_that_fail_have_nothing_started_for_them(asked: list[int]) -> None:
    reserve = ProcessReserve(1)
    for _ in range(50):
        with contextlib.suppress(TimeoutError), reserve.taken():
            raise TimeoutError
    await settled(asked, 2)
    assert sum(asked) == 2


async def test_many_at_once_have_one_started_beside_them_and_one_after_them(asked: list[int]) -> None:
    reserve = ProcessReserve(1)
    with reserve.taken():
        pass
    with contextlib.ExitStack() as many:
        for _ in range(20):
            many.enter_context(reserve.taken())
    await settled(asked, 3)
    assert sum(asked) == 3


async def test_where_it_cannot_be_had_nobody_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(number: int) -> None:
        asked.append(number)
        raise ImportError("no gRPC here")

    monkeypatch.setattr(process_reserve, "_prestart", refuse)
    reserve = ProcessReserve(1)
    for _ in range(5):
        with reserve.taken():
            pass
        await settled(asked, 1)
    assert asked == [1]
