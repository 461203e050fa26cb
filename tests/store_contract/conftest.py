"""A store to test: each test runs on SQLite in memory, on a SQLite file and on PostgreSQL.

After each test the store's own bookkeeping must hold (`checks`), whatever the test did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.sql.checks import check

MEMORY, FILE = pytest.param("memory"), pytest.param("file")
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


def place(kind: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty store."""
    if kind == "memory":
        return "sqlite://"
    if kind == "file":
        folder: Path = request.getfixturevalue("tmp_path")
        return f"sqlite:///{folder / 'store.db'}"
    server = request.getfixturevalue("postgres_server")
    schema = f"s{uuid4().hex}"  # a schema for each test is much quicker than a database
    server.execute(f"CREATE SCHEMA {schema}")
    return f"{server.url()}?options={quote(f'-csearch_path={schema}')}"


@pytest.fixture(params=[MEMORY, FILE, POSTGRES])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store on each database; sound when the test is over."""
    opened = open_store(place(request.param, request))
    yield opened
    assert check(opened) == []
    opened.close()


@pytest.fixture(params=[FILE, POSTGRES])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty place that several processes can open; sound when the test is over."""
    at = place(request.param, request)
    yield at
    opened = open_store(at)
    assert check(opened) == []
    opened.close()


@pytest.fixture
def opening(url: str) -> Iterator[Callable[[], Store]]:
    """Open `url` as often as a test likes."""
    opened: list[Store] = []

    def again() -> Store:
        opened.append(open_store(url))
        return opened[-1]

    yield again
    for store in opened:
        store.close()
