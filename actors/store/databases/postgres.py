"""PostgreSQL: several nodes may write, so rows are locked where SQLite lets one writer in at a time, and
connections break.

- A transaction that lost a race (deadlock, serialization, lock timeout) or its connection before COMMIT is run
  again: it wrote nothing. One whose connection broke *during* COMMIT may have happened, and only the caller can
  find out.
- A restart of the server is waited for, for a while; so is a server that does not answer (`postgres_connection`).
- The hub's lock is a session's advisory lock (`postgres_lock`).
- A process that hangs inside a transaction (a frozen machine) must not lock its successor out: its session is ended.

How durable a COMMIT is, is the server's setting (`synchronous_commit`, `fsync`); if it says "not", that is logged.
"""

from __future__ import annotations

import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from durable_ray.actors.store.background import next_pause
from durable_ray.actors.store.contract import CommitUnknown, StoreError, StoreUnusable
from durable_ray.actors.store.databases.database import Unholdable
from durable_ray.actors.store.sql.statement import Dialect, Session
from durable_ray.actors.store.urls import shown_url

try:
    import psycopg
    import psycopg.conninfo

    from durable_ray.actors.store.databases.postgres_connection import (
        PROMPTLY,
        Connection,
        Silent,
        check_sessions,
        connect,
    )
    from durable_ray.actors.store.databases.postgres_lock import HubLock
except ImportError as error:
    raise StoreUnusable("a PostgreSQL store needs its driver: pip install 'durable-ray[postgres]'") from error

T = TypeVar("T")

log = logging.getLogger("durable_ray.store")

#: For how long a server that does not answer is waited for before a transaction fails (seconds).
_PATIENCE = 30.0
#: The same for one that does more than a turn's or a chore's work.
_LONG = 900.0
#: Connections that are kept open between uses.
_IDLE = 4

_BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEGIN_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
#: Deadlock, serialization failure, lock timeout: somebody else went first.
_LOST_RACE = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)
_HOW = (
    "check its URL, {}: it is postgresql://user:password@host:port/database, and in a password the characters "
    "@ : / ? # [ ] % & and blanks are written as %40 %3A %2F %3F %23 %5B %5D %25 %26 %20"
)
_UNHOLDABLE = (UnicodeEncodeError, OverflowError, psycopg.DataError, psycopg.errors.ProgramLimitExceeded)


class PostgresDatabase:
    """A `Database` on a PostgreSQL server; `url` as libpq takes it."""

    dialect: Dialect = "postgresql"

    def __init__(self, url: str) -> None:
        self._url = _asserted(url)
        self._process = os.getpid()
        self._pool = threading.Lock()
        self._idle: list[Connection] = []
        self._lock = HubLock(self._url)
        self._closed = False
        try:
            connection = connect(self._url)
            check_sessions(self._url, connection)
        except (psycopg.OperationalError, psycopg.ProgrammingError) as error:  # the second: no such setting in a URL
            raise StoreUnusable(f"cannot use this PostgreSQL store: {error}; check its URL and that it runs") from error
        _warn_if_forgetful(connection)
        self._give_back(connection)

    # --- transactions -----------------------------------------------------------------------------
    @contextmanager
    def read(self) -> Iterator[Session]:
        """A snapshot."""
        connection = self._begin(_BEGIN_READ, time.monotonic() + _PATIENCE)
        connection.until = None  # each question has its own time: there may be many
        try:
            yield self._session(connection)
        except psycopg.Error as error:
            raise StoreError(f"PostgreSQL: {error}") from error
        finally:
            self._give_back(connection)

    def write(self, body: Callable[[Session], T], *, long: bool = False) -> T:
        """One transaction, run again after a lost race or connection."""
        patience = time.monotonic() + (_LONG if long else _PATIENCE)
        while True:
            connection = self._begin(_BEGIN_WRITE, patience)
            try:
                if long:
                    connection.execute("SET LOCAL statement_timeout = 0")
                return self._transact(connection, body)
            except _LOST_RACE as error:
                if time.monotonic() > patience:
                    raise StoreError(f"PostgreSQL: {error}; nothing was written") from error
                time.sleep(random.uniform(0.001, 0.02))
            except psycopg.OperationalError as error:
                if not connection.closed or time.monotonic() > patience:
                    raise StoreError(f"PostgreSQL: {error}; nothing was written") from error
            except psycopg.Error as error:
                raise StoreError(f"PostgreSQL: {error}; nothing was written") from error
            finally:
                self._give_back(connection)

    def _transact(self, connection: Any, body: Callable[[Session], T]) -> T:
        try:
            answer = body(self._session(connection))
        except Exception as error:
            if _cannot_hold(error):
                raise Unholdable(f"PostgreSQL cannot store a value: {error}") from error
            raise
        try:
            ended = connection.execute("COMMIT").statusmessage
        except psycopg.OperationalError as error:
            if connection.closed:
                raise CommitUnknown(f"the connection broke during COMMIT ({error}); reload before acting") from error
            raise
        if ended != "COMMIT":
            raise StoreError(f"PostgreSQL answered {ended} to COMMIT; nothing was written")
        return answer

    def _begin(self, how: str, patience: float) -> Any:
        """A connection inside a transaction. Those that broke while idle are dropped, a restart is waited for."""
        pause = 0.0
        while True:
            self._check()
            connection = None
            try:
                connection = self._borrow(patience)
                connection.until = min(patience, time.monotonic() + PROMPTLY)
                connection.execute(how)
                connection.until = patience
                return connection
            except psycopg.OperationalError as error:
                if connection is not None:
                    connection.close()
                if isinstance(error, Silent):
                    self._drop_idle()  # they lead to where nobody answers, too, and each would be waited for
                if time.monotonic() > patience:
                    raise StoreError(f"PostgreSQL does not answer ({error}); nothing was written") from error
                if connection is None:
                    pause = next_pause(pause, 0.05, 1.0)
                    time.sleep(pause)

    def _borrow(self, patience: float) -> Connection:
        with self._pool:
            if self._idle:
                return self._idle.pop()
        return connect(self._url, until=patience)

    def _drop_idle(self) -> None:
        with self._pool:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        connection.until = time.monotonic() + PROMPTLY
        with suppress(psycopg.Error):
            if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        with self._pool:
            if not connection.closed and len(self._idle) < _IDLE and not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _session(self, connection: Any) -> Session:
        return Session(connection.cursor(), self.dialect, _cannot_hold)

    def apart(self, run: Callable[[Any], None]) -> None:
        """A connection for a migration, in a transaction from its first statement."""
        connection = connect(self._url)
        connection.execute("SET statement_timeout = 0")  # a migration may take long
        connection.autocommit, connection.until = False, math.inf
        run(connection)

    # --- the hub's lock ---------------------------------------------------------------------------
    def own(self, describe: str) -> bool:
        """Take the advisory lock on a connection that is kept for it."""
        return self._lock.take()

    def owns(self) -> bool:
        """Whether the lock's session lives; if it broke, the lock is taken anew unless somebody was faster."""
        return self._lock.held()

    def upkeep(self) -> None:
        """Autovacuum does it."""

    def close(self) -> None:
        """Close every connection that is not in use; those in use close when they are given back."""
        with self._pool:
            self._closed = True
            idle, self._idle = self._idle, []
        if self._process == os.getpid():
            self._lock.close()
            for connection in idle:
                connection.close()

    def _check(self) -> None:
        if self._closed:
            raise StoreError("this store was closed")
        if self._process != os.getpid():
            raise StoreError("a store must not be used across a fork; open one in this process")


def _asserted(url: str) -> str:
    """The URL as libpq takes it. Raises StoreUnusable, without what may be a part of a password, if it means no server.

    Everything of it that libpq would complain about later is looked at here: libpq quotes what it does not understand.
    """
    _, slashes, rest = url.partition("://")
    known = f"postgresql://{rest}"
    try:
        parsed = psycopg.conninfo.conninfo_to_dict(known) if slashes else None
    except (psycopg.ProgrammingError, ValueError) as error:
        setting = str(error).strip() if str(error).startswith("invalid URI query parameter") else "it cannot be read"
        raise StoreUnusable(f"cannot use this PostgreSQL store ({setting}): {_HOW.format(shown_url(url))}") from None
    # What was written behind an unescaped "@" or "/" of a password is a host, a port or a database for libpq.
    ports = str(parsed.get("port") or "0").split(",") if parsed is not None else []
    if (
        parsed is None
        or not all(port.strip().isdecimal() for port in ports)
        or "@" in f"{parsed.get('host')}{parsed.get('dbname')}"
    ):
        raise StoreUnusable(f"cannot use this PostgreSQL store: {_HOW.format(shown_url(url))}")
    return known


def _cannot_hold(error: BaseException) -> bool:
    # The driver raises ProgrammingError itself (with no code of the server) for a type it does not know.
    if isinstance(error, psycopg.ProgrammingError):
        return error.sqlstate is None and "adapt" in str(error)
    return isinstance(error, _UNHOLDABLE)


def _warn_if_forgetful(connection: Any) -> None:
    for setting in ("synchronous_commit", "fsync"):
        row = connection.execute(f"SHOW {setting}").fetchone()
        if row is not None and row[0] == "off":
            log.warning("PostgreSQL has %s = off: a crash of the server may lose committed turns", setting)
