"""The alarm for the first due time in the store: no reading that is answered late loses one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from durable_ray.actors.clock import Alarm, DueAlarm


class StandingClock:
    """Keeps the alarms that were set and not cancelled."""

    def __init__(self) -> None:
        self.alarms: dict[int, int] = {}

    def now(self) -> int:
        return 1_000

    def call_at(self, at: int, call: Callable[[], None]) -> Alarm:
        alarms, number = self.alarms, len(self.alarms)
        alarms[number] = at

        class Set:
            def cancel(self) -> None:
                del alarms[number]

        return Set()


async def test_of_readings_at_a_time_the_one_that_began_last_counts() -> None:
    clock = StandingClock()
    alarm = DueAlarm(clock, lambda: None)
    early, late = (asyncio.get_running_loop().create_future() for _ in range(2))
    first = asyncio.create_task(alarm.set_by(early))
    await asyncio.sleep(0)
    second = asyncio.create_task(alarm.set_by(late))
    await asyncio.sleep(0)
    late.set_result(2_000)
    await second
    early.set_result(None)
    await first
    assert list(clock.alarms.values()) == [2_000]


async def test_a_due_time_that_has_passed_while_it_was_read_rings() -> None:
    clock = StandingClock()
    alarm = DueAlarm(clock, lambda: None)
    due = asyncio.get_running_loop().create_future()
    due.set_result(999)
    await alarm.set_by(due)
    assert list(clock.alarms.values()) == [999]


async def test_a_reading_that_is_answered_after_the_end_sets_nothing() -> None:
    clock = StandingClock()
    alarm = DueAlarm(clock, lambda: None)
    due: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(alarm.set_by(due))
    await asyncio.sleep(0)
    alarm.close()
    due.set_result(2_000)
    await reading
    assert clock.alarms == {}
    assert alarm.alarm is None
