"""PostgreSQL that says nothing any more: every wait has an end, for commits, reads, connections and the hub's lock.

The silence is real: a proxy between the driver and a server goes on acknowledging what is sent, and passes nothing on.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from durable_ray.actors.store.contract import CommitUnknown, Fenced, HubInUse, StoreError, StoreUnusable
from durable_ray.actors.store.databases import postgres, postgres_connection, postgres_lock
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.sql.commits import REVISION
from durable_ray.actors.store.writes import Started
from tests.postgres_server import PostgresServer
from tests.silent_proxy import SilentProxy, silent_proxy
from tests.store_contract.building import made, row, start

pytestmark = pytest.mark.postgres

#: Seconds of these tests' patience, and what a slow machine may take beyond: far less than for ever.
PATIENCE, BEYOND = 2.0, 15.0


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, in less time."""
    monkeypatch.setattr(postgres, "_PATIENCE", PATIENCE)
    monkeypatch.setattr(postgres_connection, "_SECONDS", PATIENCE)
    for module in (postgres, postgres_connection, postgres_lock):
        monkeypatch.setattr(module, "PROMPTLY", 1.0)
    monkeypatch.setattr(postgres_lock, "_BEAT", 0.2)
    monkeypatch.setattr(postgres_lock, "_UNHEARD", 2.0)


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[SilentProxy]:
    with silent_proxy(postgres_server.port) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: SilentProxy, postgres_server: PostgresServer, postgres_url: str) -> Iterator[SqlStore]:
    """A store that is reached through the proxy."""
    opened = open_store(postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
    assert isinstance(opened, SqlStore)
    yield opened
    opened.close()


def in_time(act: Callable[[], Any]) -> Any:
    """What `act` answers or raises; it has to do either in bounded time."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(act())
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE + BEYOND)
    assert answers, "it waits for ever"
    if isinstance(answers[0], BaseException):
        raise answers[0]
    return answers[0]


def until(done: Callable[[], bool]) -> None:
    """Wait for something that has to come in bounded time."""
    end = time.monotonic() + PATIENCE + BEYOND
    while not done():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


# --- transactions ---------------------------------------------------------------------------------


def test_a_commit_that_is_not_answered_is_of_unknown_outcome(store: SqlStore, proxy: SilentProxy) -> None:
    with pytest.raises(CommitUnknown, match="reload before acting"):
        in_time(lambda: store.database.write(lambda session: proxy.hush()))


@pytest.mark.parametrize("driver_looks_at_the_clock", [True, False])
def test_a_statement_that_is_not_answered_writes_nothing(
    store: SqlStore, proxy: SilentProxy, monkeypatch: pytest.MonkeyPatch, driver_looks_at_the_clock: bool
) -> None:
    if not driver_looks_at_the_clock:  # releases before 3.3 do not
        monkeypatch.setattr(postgres_connection, "_TIMED_OUT", None)

    def body(session: Any) -> None:
        proxy.hush()
        session.one(REVISION)

    with pytest.raises(StoreError, match="no answer came in time"):
        in_time(lambda: store.database.write(body))


def test_a_question_that_is_not_answered_fails(store: SqlStore, proxy: SilentProxy) -> None:
    def ask() -> None:
        with store.database.read() as session:
            proxy.hush()
            session.one(REVISION)

    with pytest.raises(StoreError, match="no answer came in time"):
        in_time(ask)


def test_silence_is_waited_for_and_has_an_end(store: SqlStore, proxy: SilentProxy) -> None:
    proxy.hush()
    with pytest.raises(StoreError, match="does not answer"):
        in_time(lambda: made(store, start("a")))
    proxy.talk()
    assert in_time(lambda: made(store, start("a"))) == Started()


def test_connections_that_fell_silent_are_replaced_within_the_patience(
    store: SqlStore, proxy: SilentProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in the pool leads nowhere; what is made anew goes through, and nobody notices but by a pause."""
    monkeypatch.setattr(postgres, "_PATIENCE", 30.0)
    ready = threading.Barrier(4)

    def held(session: Any) -> None:
        session.one(REVISION)
        ready.wait(20)

    writers = [threading.Thread(target=store.database.write, args=(held,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    proxy.hush(new=False)
    assert in_time(lambda: made(store, start("a"))) == Started()
    assert in_time(lambda: row(store, "a").instance_id) == "a"


def test_a_server_that_takes_connections_and_says_nothing(
    proxy: SilentProxy, postgres_server: PostgresServer, postgres_url: str
) -> None:
    proxy.hush()
    url = postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
    with pytest.raises(StoreUnusable, match="cannot use this PostgreSQL store"):
        in_time(lambda: open_store(url))


def test_the_server_gives_up_a_client_and_a_statement_too(store: SqlStore) -> None:
    """By its own settings a session would keep its locks for hours after its machine had vanished."""
    names = (
        "idle_in_transaction_session_timeout lock_timeout statement_timeout tcp_user_timeout tcp_keepalives_idle "
        "tcp_keepalives_interval tcp_keepalives_count"
    ).split()
    connection = postgres_connection.connect(store.database._url)  # type: ignore[attr-defined]
    said = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in names}
    connection.close()
    assert said == {
        "idle_in_transaction_session_timeout": "15s",
        "lock_timeout": "20s",
        "statement_timeout": "25s",
        "tcp_user_timeout": "12000",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "3",
        "tcp_keepalives_count": "3",
    }


# --- the hub's lock -------------------------------------------------------------------------------


def takes(url: str, cluster: str) -> Callable[[], bool]:
    """Whether another cluster gets the hub."""
    other = open_store(url)

    def try_it() -> bool:
        try:
            other.acquire_hub("hub", cluster, "other", 2, 4, "{}")
        except HubInUse:
            return False
        other.close()
        return True

    return try_it


def test_a_lock_whose_session_fell_silent_is_lost_for_both_sides(
    store: SqlStore, proxy: SilentProxy, postgres_url: str
) -> None:
    store.acquire_hub("hub", "c1", "first", 1, 4, "{}")
    taken = takes(postgres_url, "c2")
    assert not taken()
    proxy.hush()
    with pytest.raises(StoreError):  # the owner knows at its next heartbeat
        in_time(lambda: store.heartbeat(2))
    until(taken)
    proxy.talk()
    with pytest.raises(Fenced):
        in_time(lambda: store.heartbeat(3))


def test_a_frozen_owner_loses_the_lock(postgres_url: str) -> None:
    """Its machine acknowledges whatever TCP asks; it is the owner that has to be heard of."""
    open_store(postgres_url).close()
    ready, tell = os.pipe()
    frozen = os.fork()
    if frozen == 0:
        open_store(postgres_url).acquire_hub("hub", "c1", "frozen", 1, 4, "{}")
        os.write(tell, b"x")
        threading.Event().wait()
    try:
        assert os.read(ready, 1) == b"x"
        taken = takes(postgres_url, "c2")
        assert not taken()
        os.kill(frozen, signal.SIGSTOP)
        until(taken)
    finally:
        os.kill(frozen, signal.SIGKILL)
        os.waitpid(frozen, 0)


def test_a_lock_that_is_heard_of_is_not_ended_by_the_server(store: SqlStore, postgres_url: str) -> None:
    store.acquire_hub("hub", "c1", "first", 1, 4, "{}")
    with psycopg.connect(postgres_url, autocommit=True) as looking:
        query = (
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1146181964 AND "
            "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        before = looking.execute(query).fetchall()
        time.sleep(2 * postgres_lock._UNHEARD)
        assert looking.execute(query).fetchall() == before
        assert len(before) == 1
