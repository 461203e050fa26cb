"""Two sessions on one PostgreSQL in a chosen order: one stops after a statement, the other goes as far as it gets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from durable_ray.actors.store.databases.postgres import PostgresDatabase
from durable_ray.actors.store.opening import SqlStore
from durable_ray.actors.store.sql.statement import Session, Statement

T = TypeVar("T")

#: Whether a session of this database waits for another's lock.
_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
"""


class Rival:
    """Something that a second session does in a thread of its own."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self.answer: Any = None
        self.error: BaseException | None = None

    def _run(self) -> None:
        try:
            self.answer = self._act()
        except BaseException as error:
            self.error = error

    def start(self, url: str) -> bool:
        """Begin; returns whether it is done (True) or waits for a lock (False), as soon as one of them is so."""
        self._thread.start()
        with psycopg.connect(url, autocommit=True) as looking:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                if not self._thread.is_alive():
                    return True
                row = looking.execute(_WAITING).fetchone()
                if row is not None and row[0]:
                    return False
                time.sleep(0.005)
        raise TimeoutError("the rival neither ends nor waits for a lock")

    def end(self) -> Any:
        """What it answered, or the error that it met."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.answer


class _Watched(Session):
    """A session that tells of each statement when it has run."""

    __slots__ = ("told",)
    told: Callable[[Statement], None]

    def all(self, statement: Statement, **params: Any) -> list[Any]:
        found = super().all(statement, **params)
        self.told(statement)
        return found

    def one(self, statement: Statement, **params: Any) -> Any:
        found = super().one(statement, **params)
        self.told(statement)
        return found

    def run(self, statement: Statement, **params: Any) -> int:
        changed = super().run(statement, **params)
        self.told(statement)
        return changed

    def each(self, statement: Statement, sources: Any) -> int:
        changed = super().each(statement, sources)
        self.told(statement)
        return changed


def watch(store: SqlStore, told: Callable[[Statement], None]) -> None:
    """From now on tell of each statement that `store` has run, within its transaction."""
    database = store.database
    assert isinstance(database, PostgresDatabase)
    real = database._session

    def watched(connection: Any) -> Session:
        session = real(connection)
        made = _Watched(session._cursor, session.dialect, session.cannot_hold)
        made.told = told
        return made

    database._session = watched  # type: ignore[method-assign]


def between(url: str, store: SqlStore, act: Callable[[], T], after: Statement | int, rival: Rival) -> tuple[T, bool]:
    """Do `act` with `store`, and after that statement (or so many) let `rival` go as far as it gets.

    Returns what `act` answers, and whether the rival was done before it went on.
    """
    done: list[bool] = []
    seen: list[Statement] = []

    def told(statement: Statement) -> None:
        seen.append(statement)
        if not done and (statement is after if isinstance(after, Statement) else len(seen) == after):
            done.append(rival.start(url))

    watch(store, told)
    answer = act()
    assert done, f"it ran {len(seen)} statements, and none was {after}"
    return answer, done[0]
