"""PostgreSQL: broken connections, a restarted server, an unknown COMMIT, a lost hub lock, a frozen writer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from durable_ray.actors.store.contract import CommitUnknown, Fenced, HubInUse, Store, StoreError, StoreUnusable
from durable_ray.actors.store.databases import postgres
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.actors.store.writes import Started
from tests.postgres_server import PostgresServer
from tests.store_contract.building import advance, made, row, start

pytestmark = pytest.mark.postgres


@pytest.fixture
def opening(postgres_url: str) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def again() -> Store:
        opened.append(open_store(postgres_url))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def kill(postgres_url: str) -> Callable[[str], None]:
    """End all other sessions in a state ("idle" …) of this database, as an administrator or a failing network would.

    Waits until they have ended, for one that is still ending may answer and hold its locks.
    """

    def run(condition: str) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = current_database()"
                f" AND pid <> pg_backend_pid() AND ({condition})".encode()
            )

    return run


def test_a_server_that_is_not_there(postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreUnusable, match="cannot use this PostgreSQL store"):
        open_store(postgres_server.url("no_such_database"))


def test_a_url_with_a_setting_that_there_is_not(postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreUnusable, match="check its URL"):
        open_store(f"{postgres_server.url()}?no_such_setting=1")


def test_connections_that_broke_while_idle_are_replaced(
    opening: Callable[[], Store], kill: Callable[[str], None]
) -> None:
    store = opening()
    made(store, start("a"))
    kill("true")
    assert row(store, "a").instance_id == "a"
    kill("true")
    assert made(store, start("b")) == Started()


def test_a_transaction_that_lost_its_connection_is_run_again(
    opening: Callable[[], Store], kill: Callable[[str], None]
) -> None:
    store: Any = opening()
    runs = []

    def body(session: Any) -> int:
        runs.append(session.one(Statement("SELECT id FROM hub")))
        if len(runs) == 1:
            kill("state = 'idle in transaction'")
        return int(session.one(Statement("SELECT id FROM hub"))[0])

    assert store.database.write(body) == 1
    assert len(runs) == 2


def test_a_restarted_server_is_waited_for(opening: Callable[[], Store], postgres_server: PostgresServer) -> None:
    store = opening()
    made(store, start("a"))
    postgres_server.stop("immediate")
    back = threading.Timer(0.5, postgres_server.start)
    back.start()
    try:
        advance(store, "a")
        assert row(store, "a").turn == 1
    finally:
        back.join()


def test_patience_has_an_end(
    opening: Callable[[], Store], postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opening()
    monkeypatch.setattr(postgres, "_PATIENCE", 0.2)
    postgres_server.stop("immediate")
    try:
        with pytest.raises(StoreError, match="does not answer"):
            made(store, start("a"))
    finally:
        postgres_server.start()
    assert made(store, start("a")) == Started()


def test_a_commit_whose_outcome_is_unknown_is_not_repeated(
    opening: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after COMMIT was sent: the turn happened, but nobody was told."""
    store: Any = opening()
    made(store, start("a"))
    database = store.database
    transact = database._transact
    runs = []

    class Breaking:
        """A connection that breaks with the COMMIT on the way."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def execute(self, statement: str) -> Any:
            answer = self._real.execute(statement)
            if statement == "COMMIT":
                self._real.close()
                raise psycopg.OperationalError("the network is gone")
            return answer

    def breaking(connection: Any, body: Any) -> Any:
        runs.append(1)
        return transact(Breaking(connection), body)

    monkeypatch.setattr(database, "_transact", breaking)
    with pytest.raises(CommitUnknown, match="reload"):
        advance(store, "a")
    assert len(runs) == 1
    monkeypatch.undo()
    assert row(store, "a").turn == 1


def test_a_hub_whose_lock_was_lost_takes_it_again_or_goes(
    opening: Callable[[], Store], kill: Callable[[str], None]
) -> None:
    first, second = opening(), opening()
    first.acquire_hub("hub", "c1", "one", 1, 4, "{}")
    with pytest.raises(HubInUse):
        second.acquire_hub("hub", "c2", "two", 1, 4, "{}")
    kill("true")
    first.heartbeat(2)
    with pytest.raises(HubInUse):
        second.acquire_hub("hub", "c2", "two", 1, 4, "{}")
    kill("true")
    assert second.acquire_hub("hub", "c2", "two", 3, 4, "{}").boot_epoch == 2
    with pytest.raises(Fenced):
        first.heartbeat(4)


def test_a_text_that_postgres_cannot_hold_is_refused_alone(opening: Callable[[], Store]) -> None:
    store = opening()
    bad, good = made(store, start("bad", input="\x00"), start("good"))
    assert type(bad).__name__ == "Refused"
    assert good == Started()
    assert type(made(store, start("nul\x00"))).__name__ == "Refused"
    assert type(made(store, start("tag", tags={"k": "v" * 20_000}))).__name__ in {"Refused", "Started"}


def test_turns_are_updated_in_place(opening: Callable[[], Store], postgres_url: str) -> None:
    """The promise of the schema: a turn that only goes on adds no entry to any index of `instances`."""
    store = opening()
    made(store, start("a"))
    advance(store, "a")
    for n in range(20):
        advance(store, "a", outstanding=n % 2, custom_status=str(n))
    store.close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        found = connection.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'instances'"
        )
        updated, in_place = found.fetchone() or (0, 0)
    assert updated == 21
    assert in_place >= 20
