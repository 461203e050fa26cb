"""The private PostgreSQL of the tests is durable and disposable: what a crash test proves rests on it.

Holds: each test gets an empty database, a crash loses no committed row, and fsync is on. What the store does
with a server is held in the store's own tests.
"""

from __future__ import annotations

import psycopg
import pytest

from tests.postgres_server import running_postgres

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("round_", [1, 2])
def test_each_test_gets_an_empty_database(postgres_url: str, round_: int) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE mark (round int)")
        connection.execute("INSERT INTO mark VALUES (%s)", [round_])
        assert connection.execute("SELECT round FROM mark").fetchall() == [(round_,)]


def test_a_crash_loses_no_committed_row(postgres_url: str) -> None:
    del postgres_url  # asked for its skip: this test crashes a server of its own
    with running_postgres() as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE mark AS SELECT 1 AS value")
        server.stop("immediate")
        server.start()
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT value FROM mark").fetchall() == [(1,)]
            assert connection.execute("SHOW fsync").fetchall() == [("on",)]
    assert not server.folder.exists()
