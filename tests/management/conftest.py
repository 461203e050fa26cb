"""A hub for each test, and the check that no test leaves an instance behind that nothing will wake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from durable_ray import Client, HubSettings
from durable_ray.actors.checks import stranded
from durable_ray.actors.store.checks import check
from durable_ray.testing import TestHub
from tests.management import shapes


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Activities note what they do in a file of this test."""
    monkeypatch.setenv(shapes.LEDGER, str(tmp_path / "ledger"))
    monkeypatch.setenv(shapes.BROKEN, "")


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """A hub whose time stands still until it is moved."""
    with TestHub(auto_advance=False, settings=HubSettings(partitions=2, sweep_interval=0.2)) as hub:
        yield hub
        assert_nobody_is_forgotten(hub)


@pytest.fixture
def client(hub: TestHub) -> Client:
    """Its client."""
    return hub.client


def assert_nobody_is_forgotten(hub: TestHub) -> None:
    """Whatever lives has something to wake it, and the store's books are right."""
    hub.settle()
    # A word that was lost is made up for by the sweep: whoever is found within seconds is not forgotten.
    until = time.monotonic() + 10
    while (lost := stranded(hub.hub.store, hub.hub.clock.now(), at_rest=True)) and time.monotonic() < until:
        time.sleep(0.05)
        hub.settle()
    assert lost == []
    assert check(hub.hub.store) == []
