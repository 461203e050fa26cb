"""Dedicated instances that are to start later: no start waits for a sweep because its time came at a bad moment."""

from __future__ import annotations

from datetime import timedelta

import pytest

import durable_ray as dr
from durable_ray.testing import TestHub
from tests.management.shapes import echo

pytestmark = pytest.mark.fault


def test_a_start_whose_time_comes_while_the_registry_looks_when_it_will(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dr.HubSettings(partitions=1, sweep_interval=600)
    with TestHub(auto_advance=False, settings=settings) as hub:
        store, clock = hub.hub.registry.store, hub.virtual_clock
        assert clock is not None
        dedicated_next = store.dedicated_next

        def meanwhile(after: int = -1) -> int | None:
            due = dedicated_next(after)
            if due is not None:
                monkeypatch.undo()
                clock.set(due + 1)
            return due

        monkeypatch.setattr(store, "dedicated_next", meanwhile)
        handle = hub.client.start_new(
            echo, 1, instance_id="later", placement="dedicated", start_at=timedelta(seconds=10)
        )
        hub.settle()
        hub.advance(0)
        assert handle.wait_for_completion(20) == 1
