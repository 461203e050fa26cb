"""A PostgreSQL connection whose every call ends in bounded time, whatever became of the server or the network.

A server or a network that vanished answers nothing and refuses nothing. Four things end such a wait:

- this side's deadline (`until`) ends a call whose answer does not come, also where somebody in between (a proxy, a load
  balancer) goes on acknowledging what is sent;
- TCP gives up what is not acknowledged, before that deadline, so that there is time for another connection;
- the server gives up a statement, a lock or an idle transaction by its own timeouts, and this client by TCP's;
- a session that is kept for a lock ends without heartbeats (`keep_alive`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any, TypeVar

import psycopg

from durable_ray.actors.store.contract import StoreUnusable

T = TypeVar("T")

#: Seconds until a call fails whose transaction has no deadline of its own.
_SECONDS = 30.0
#: Seconds for what a server that is there answers at once: a connection, a BEGIN, a ping.
PROMPTLY = 10.0

_TCP: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 12_000,
}
#: Of the server's: who waits for a lock outlasts a holder that hangs, and is itself heard before its caller gives up.
_SESSION = """
    SET idle_in_transaction_session_timeout = '15s';
    SET lock_timeout = '20s';
    SET statement_timeout = '25s';
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 3;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 12000;
    SET standard_conforming_strings = on
"""
#: `idle_session_timeout` came with this release.
_ENDS_IDLE = 140_000
#: Connections that are held at once to find out whether transactions share sessions.
_PROBES = 3


class Silent(psycopg.OperationalError):
    """No answer came in time; the connection is closed."""


class Connection(psycopg.Connection[Any]):
    """A connection whose calls fail with `Silent` after `until` (of the monotonic clock)."""

    until: float | None = None

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As the driver's, but not for ever."""
        left = _SECONDS if self.until is None else self.until - time.monotonic()
        try:
            if _TIMED_OUT is None:
                return super().wait(_until(gen, time.monotonic() + left), interval)
            return super().wait(gen, interval, max(left, 0.0) if left < math.inf else None)
        except (Silent, *_TIMEOUTS) as error:
            self.close()
            raise Silent("no answer came in time; the connection was closed") from error


#: What a driver raises that looks at the clock itself, in C: each statement of a commit would pay for doing it here.
_TIMED_OUT: type[Exception] | None = getattr(psycopg.errors, "_WaitTimeout", None)
_TIMEOUTS = () if _TIMED_OUT is None else (_TIMED_OUT,)


def _until(gen: Generator[Any, Any, T], until: float) -> Generator[Any, Any, T]:
    """What the driver waits for, looked at whenever it wakes: it does so several times a second, if only to look."""
    ready = None
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        ready = yield wanted
        if not ready and time.monotonic() > until:
            gen.close()
            raise Silent


def connect(url: str, *, autocommit: bool = True, until: float | None = None) -> Connection:
    """A connection with this project's settings, made by `until`. Raises psycopg.Error."""
    left = PROMPTLY if until is None else min(PROMPTLY, until - time.monotonic())
    connection = Connection.connect(
        url,
        autocommit=True,
        prepare_threshold=2,
        connect_timeout=max(2, round(left)),  # the driver takes no less
        application_name="durable_ray",
        **_TCP,
    )
    connection.until = time.monotonic() + PROMPTLY
    try:
        connection.execute(_SESSION)
    except BaseException:
        connection.close()
        raise
    connection.autocommit = autocommit
    connection.until = until
    return connection


def keep_alive(connection: Connection, seconds: float) -> None:
    """Let the server end this session, and release its locks, after so many seconds without a statement."""
    if connection.info.server_version >= _ENDS_IDLE:
        connection.execute(f"SET idle_session_timeout = '{round(seconds * 1000)}ms'")


def check_sessions(url: str, first: Connection) -> None:
    """Raise StoreUnusable if connections have no session of their own.

    Behind a pool that gives each transaction whichever session is free (PgBouncer with pool_mode = transaction) the hub's
    lock belongs to nobody, and timeouts and prepared statements get lost. A pool shows itself by the number of the
    server's process: its clients are told another. Whether it shares sessions shows when others are under way.
    """
    if _process(first) == first.info.backend_pid:
        return
    mine, others = _process(first), list[Connection]()
    try:
        for _ in range(_PROBES):
            other = connect(url)
            others.append(other)
            other.until = time.monotonic() + PROMPTLY
            other.execute("BEGIN")
            first.until = time.monotonic() + PROMPTLY
            if _process(other) == mine or _process(first) != mine:
                raise _shared()
    except psycopg.Error as error:
        raise StoreUnusable(
            f"the pool in front of this PostgreSQL store does not give each of several connections a session ({error}): "
            "give the URL of the server itself, or of a pool with pool_mode = session and room for all of the hub's "
            "processes, several sessions each"
        ) from error
    finally:
        first.until = None
        for other in others:
            with suppress(psycopg.Error):
                other.close()


def _process(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


def _shared() -> StoreUnusable:
    return StoreUnusable(
        "this PostgreSQL store is reached through a pool that gives each transaction another session (PgBouncer with "
        "pool_mode = transaction or statement?), and the hub's lock belongs to a session: give the URL of the server "
        "itself, or of a pool with pool_mode = session"
    )
