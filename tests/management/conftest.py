"""A hub for each test, and the check that no test leaves an instance behind that nothing will wake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from durable_ray import Client, HubSettings
from durable_ray.actors.store.sql.checks import check
from durable_ray.testing import TestHub
from tests.management import shapes
from tests.stranded import stranded

#: Seconds between two sweeps of a hub in which every word has to arrive.
SWEEPS_NEVER = 3600.0


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Activities note what they do in a file of this test."""
    monkeypatch.setenv(shapes.LEDGER, str(tmp_path / "ledger"))
    monkeypatch.setenv(shapes.BROKEN, "")


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """A hub whose time stands still until it is moved."""
    with TestHub(auto_advance=False, settings=HubSettings(partitions=2, sweep_interval=SWEEPS_NEVER)) as hub:
        yield hub
        assert_nobody_is_forgotten(hub)


@pytest.fixture
def client(hub: TestHub) -> Client:
    """Its client."""
    return hub.client


def assert_nobody_is_forgotten(hub: TestHub) -> None:
    """Whatever lives has something to wake it, and the store's books are right.

    As soon as all has come to rest: the sweep, which finds what a lost word left behind, would hide that one was lost, so it
    must not run in such a hub (`SWEEPS_NEVER`). Where words are lost rightly, with the hosts that crashed, `TestHub.crash`
    does what Ray and the registry do then, before it returns; so after a crash nothing may be forgotten either.
    """
    hub.settle()
    assert stranded(hub.hub.store, hub.hub.clock.now(), at_rest=True) == []
    assert check(hub.hub.store) == []
