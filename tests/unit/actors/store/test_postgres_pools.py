"""A pool between the hub and PostgreSQL: one that gives each transaction another session is refused at the door."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from durable_ray.actors.store.contract import HubInUse, StoreUnusable
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.writes import Started
from tests.pgbouncer import PgBouncerUnavailable, running_pgbouncer
from tests.postgres_server import PostgresServer
from tests.store_contract.building import made, start

pytestmark = pytest.mark.postgres


@pytest.fixture
def pooled(request: Any, postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """The URL of an empty database behind a pool of the mode that the test names."""
    with ExitStack() as stack:
        try:
            port = stack.enter_context(running_pgbouncer(postgres_server, request.param))
        except PgBouncerUnavailable as missing:
            if os.environ.get("CI", "").lower() in {"1", "true"}:
                pytest.fail(f"CI has to run the tests with a pool: {missing}", pytrace=False)
            pytest.skip(str(missing))
        yield postgres_url.replace(f":{postgres_server.port}/", f":{port}/")


@pytest.mark.parametrize("pooled", ["transaction", "statement"], indirect=True)
@pytest.mark.parametrize("busy", [0, 1, 3])
def test_a_pool_that_shares_sessions_is_refused(pooled: str, busy: int) -> None:
    """Also while it has sessions of others to give: what is free then is not always what was given before."""
    with ExitStack() as stack:
        for _ in range(busy):
            other = stack.enter_context(psycopg.connect(pooled, autocommit=True, prepare_threshold=None))
            other.execute("SELECT 1")
        with pytest.raises(StoreUnusable, match="pool_mode = session"):
            open_store(pooled)


@pytest.mark.parametrize("pooled", ["session"], indirect=True)
def test_a_pool_of_sessions_works(pooled: str) -> None:
    first, second = open_store(pooled), open_store(pooled)
    first.acquire_hub("hub", "c1", "one", 1, 4, "{}")
    with pytest.raises(HubInUse):
        second.acquire_hub("hub", "c2", "two", 1, 4, "{}")
    assert made(first, start("a")) == Started()
    first.heartbeat(2)
    first.close()
    end = time.monotonic() + 60
    while True:  # the pool cleans a session after its client has gone, and then it is free
        try:
            assert second.acquire_hub("hub", "c2", "two", 3, 4, "{}").boot_epoch == 2
            break
        except HubInUse:
            assert time.monotonic() < end
            time.sleep(0.05)
    second.close()
