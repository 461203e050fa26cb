"""Ten thousand schedules: nothing is asked while none is due, and those due together begin in groups, each once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.registry.schedules.scheduling import schedule_row
from durable_ray.actors.store.writes import StoreSchedule
from durable_ray.orchestrations.schedules.transition import create
from durable_ray.testing import TestHub
from tests.management.shapes import echo

HOUR = timedelta(hours=1)
MANY = 10_000


def filled(hub: TestHub, many: int) -> None:
    """So many schedules, all due at each full hour, as if they had been created one by one."""
    hub.client.register(echo)
    action = dr.ScheduleAction("echo", placement="shared")
    schedule = dr.Schedule(dr.ScheduleSpec(dr.Interval(3600)), action)
    now = hub.hub.clock.now()
    rows = [StoreSchedule(schedule_row(create(f"s{n:05}", schedule, now))) for n in range(many)]
    for first in range(0, many, 1000):
        hub.store.commit(None, rows[first : first + 1000])
    hub.on_loop(hub.hub.registry.schedules_due()).result(10)


def test_while_none_is_due_nothing_is_asked(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(hub, MANY)
    asked: list[str] = []
    store = hub.hub.registry.store
    for name in ("schedules", "schedules_due", "schedule_next", "schedules_running", "schedules_page"):
        monkeypatch.setattr(store, name, lambda *args, name=name: asked.append(name))
    hub.advance(0.99 * HOUR)
    assert asked == []
    hub.advance(0.01 * HOUR)
    assert "schedules_due" in asked  # it would have been noted
    monkeypatch.undo()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_that_are_due_in_one_second_begin_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dr.HubSettings(partitions=2, sweep_interval=3600)
    with TestHub(f"sqlite:///{tmp_path}/hub.db", auto_advance=False, settings=settings) as hub:
        filled(hub, MANY)
        groups: list[int] = []
        registry = hub.hub.registry
        commit = registry._commit

        async def counting(changes: Any, now: int) -> None:
            if any(change.starts for change in changes):
                groups.append(len(changes))
            await commit(changes, now)

        monkeypatch.setattr(registry, "_commit", counting)
        virtual = hub.virtual_clock
        assert virtual is not None
        hub.call_soon(virtual.advance, virtual.now() + 3_600_000_000)
        hub.on_loop(hub.settled()).result(500)
        schedules = hub.client.list_schedules()
        assert [one.counts.completed for one in schedules] == [1] * MANY
        assert [one.skipped for one in schedules] == [()] * MANY
        assert groups == [100] * (MANY // 100)
        ran = Counter(instance_id for instance_id in (one.runs[0].instance_id for one in schedules))
        assert ran.most_common(1)[0][1] == 1
        assert len(ran) == MANY
