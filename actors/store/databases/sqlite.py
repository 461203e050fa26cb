"""SQLite: one file, WAL, an fsync for every commit, writers in turn, readers never in the way.

Every process that writes opens the file itself. A database object has one connection to write with and a few to
read with. `:memory:` is one connection for everything, behind a lock: for tests, and for hubs that may be lost.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from durable_ray.actors.store.contract import CommitUnknown, StoreError, StoreUnusable
from durable_ray.actors.store.databases.database import Unholdable
from durable_ray.actors.store.databases.sqlite_copies import ORDINARY, PAGE, RESTORED, beside, refuse_copies
from durable_ray.actors.store.databases.sqlite_file import FileLock, driver, prepare
from durable_ray.actors.store.sql.statement import Dialect, Session

T = TypeVar("T")

log = logging.getLogger("durable_ray.store")

#: A net under the writers' lock: another program (a backup, a shell) may hold SQLite's own lock for a moment.
_BUSY_MS = 10_000
_TRIES = 3

#: The registry's checkpointer keeps the WAL well below; if it is away, a writer does it (pages: 32 MiB).
_WRITER_CHECKPOINT = 8192
#: What stays of the WAL file when it is begun anew: all that it usually comes to, for syncing what is overwritten takes
#: three quarters of what syncing a growing file does. Above `_LARGE_WAL` the checkpointer stops the writers to shrink it.
_WAL_KEPT = 32 << 20
_LARGE_WAL = 64 << 20

#: Read connections that are kept open.
_READERS = 4

_UNHOLDABLE = (UnicodeEncodeError, OverflowError)


class SqliteDatabase:
    """A `Database` in one file, or in memory if `path` is None."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path | None, create: bool = True) -> None:
        self._driver: Any = driver()
        self._path = path
        self._process = os.getpid()
        self._writing = threading.RLock()
        self._pool = threading.Lock()
        self._readers: list[Any] = []
        self._hub_lock: FileLock | None = None
        self._turn: FileLock | None = None
        self._closed = False
        if path is not None:
            refuse_copies(path)
            prepare(path, create)
            self._turn = FileLock(beside(path, ".writers"))
        try:
            self._writer = self._connect()
        except self._driver.Error as error:
            self.close()
            raise StoreUnusable(
                f"cannot open {path}: {error}; check that it is a database and that its folder may be written to, or choose "
                "another store"
            ) from error

    def _connect(self) -> Any:
        connection = self._driver.connect(
            str(self._path or ":memory:"),
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_MS / 1000,
            cached_statements=256,
        )
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = OFF",
            "temp_store = MEMORY",
            "cache_size = -16000",
            f"wal_autocheckpoint = {_WRITER_CHECKPOINT}",
            f"journal_size_limit = {_WAL_KEPT}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    # --- reading ----------------------------------------------------------------------------------
    @contextmanager
    def read(self) -> Iterator[Session]:
        """A snapshot. Open it for milliseconds: while it lasts no checkpoint gets past it."""
        self._check()
        if self._path is None:
            with self._writing:
                yield self._session(self._writer)
            return
        connection = self._borrow()
        try:
            connection.execute("BEGIN")
            yield self._session(connection)
        except self._driver.Error as error:
            raise self._explain(error) from error
        finally:
            self._give_back(connection)

    def _borrow(self) -> Any:
        with self._pool:
            if self._readers:
                return self._readers.pop()
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _give_back(self, connection: Any) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        with self._pool:
            if len(self._readers) < _READERS and not self._closed:
                self._readers.append(connection)
                return
        connection.close()

    # --- writing ----------------------------------------------------------------------------------
    def write(self, body: Callable[[Session], T], *, long: bool = False) -> T:
        """One transaction, in turn with all other threads and processes that write."""
        with self._writing:
            self._check()
            if self._turn is None:
                return self._transact(body)
            self._turn.acquire()
            try:
                return self._transact(body)
            finally:
                self._turn.release()

    def _transact(self, body: Callable[[Session], T]) -> T:
        connection = self._writer
        self._begin(connection)
        try:
            answer = body(self._session(connection))
        except BaseException as error:
            self._roll_back(connection)
            if self._cannot_hold(error):
                raise Unholdable(f"SQLite cannot store a value: {error}") from error
            if isinstance(error, self._driver.Error):
                raise self._explain(error) from error
            raise
        try:
            connection.execute("COMMIT")
        except self._driver.Error as error:
            self._roll_back(connection)
            if _code(error) == sqlite3.SQLITE_IOERR:
                # The commit record may have reached the file although the sync failed: recovery would find it.
                raise CommitUnknown(f"SQLite could not finish a COMMIT ({error}); reload before acting") from error
            raise self._explain(error) from error
        return answer

    def _begin(self, connection: Any) -> None:
        for attempt in range(_TRIES):
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except self._driver.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or attempt == _TRIES - 1:
                    raise self._explain(error) from error

    def _roll_back(self, connection: Any) -> None:
        # Some errors (a full disk) have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def _session(self, connection: Any) -> Session:
        return Session(connection.cursor(), self.dialect, self._cannot_hold)

    def _cannot_hold(self, error: BaseException) -> bool:
        if isinstance(error, self._driver.ProgrammingError):  # Python's own driver says so for a type it does not know
            return "binding parameter" in str(error)
        return isinstance(error, (*_UNHOLDABLE, self._driver.DataError, self._driver.InterfaceError))

    def _explain(self, error: Exception) -> StoreError:
        match _code(error):
            case sqlite3.SQLITE_FULL:
                return StoreError(f"the disk of {self._path} is full; nothing was written. Free some space")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreError(
                    f"{self._path} is locked by another program for over {_TRIES * _BUSY_MS // 1000} s; "
                    "nothing was written"
                )
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return StoreError(f"{self._path} is not a sound SQLite database ({error}); restore a backup ({PAGE})")
            case _:
                return StoreError(f"{self._path}: {error}; nothing was written")

    def apart(self, run: Callable[[Any], None]) -> None:
        """A connection for a migration, in turn with all writers."""
        with self._writing:
            if self._turn is not None:
                self._turn.acquire()
            try:
                run(self._connect())
            finally:
                if self._turn is not None:
                    self._turn.release()

    # --- the hub's lock, upkeep -------------------------------------------------------------------
    def own(self, describe: str) -> bool:
        """Take `<file>.hub`; a database in memory belongs to the process that opened it."""
        if self._path is None or self._hub_lock is not None:
            return True
        lock = FileLock(beside(self._path, ".hub"))
        if not lock.try_acquire():
            lock.close()
            return False
        lock.write({"address": describe, "pid": os.getpid()})
        self._hub_lock = lock
        self._say_if_restored()
        return True

    def _say_if_restored(self) -> None:
        """Once: the first owner is the one whose operator may still stop the hub that the backup was made of."""
        if self._writer.execute("PRAGMA user_version").fetchone()[0] != RESTORED:
            return
        log.warning(
            "%s was restored from a backup: what happened after that was made is forgotten, and is done again. If the hub "
            "that it was made of still runs somewhere, stop one of the two: both do the same work (%s)",
            self._path,
            PAGE,
        )
        self.write(lambda session: session.plain(f"PRAGMA user_version = {ORDINARY}"))

    def owns(self) -> bool:
        """The kernel keeps a file lock until it is released."""
        return self._path is None or self._hub_lock is not None

    def upkeep(self) -> None:
        """Move the WAL into the database. Does not hold up writers, unless readers let the WAL grow very large."""
        if self._path is None:
            return
        connection = self._borrow()
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            wal = beside(self._path, "-wal")
            if wal.exists() and wal.stat().st_size > _LARGE_WAL:
                connection.execute("PRAGMA busy_timeout = 1000")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        except self._driver.Error as error:
            raise self._explain(error) from error
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close every connection; the last one of all processes folds the WAL into the file."""
        with self._writing, self._pool:
            self._closed = True
            for connection in (*self._readers, getattr(self, "_writer", None)):
                if connection is not None:
                    connection.close()
            self._readers.clear()
            for lock in (self._turn, self._hub_lock):
                if lock is not None:
                    lock.close()
            self._turn = self._hub_lock = None

    def _check(self) -> None:
        if self._closed:
            raise StoreError("this store was closed")
        if self._process != os.getpid():
            raise StoreError("a store must not be used across a fork; open one in this process")


def _code(error: BaseException) -> int:
    """The primary result code of SQLite."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
