"""The hub's lock on PostgreSQL: an advisory lock of a session that its owner keeps alive with heartbeats.

It is to be lost with its owner, and to be known as lost, in bounded time. A process that dies ends its session at once.
One whose machine vanishes, or that is frozen, does not: so a thread of the owner, which waits for nothing else, sends a
heartbeat over the session every few seconds, and the server ends a session without one. The owner waits for the answer, and
knows that the lock is lost if none comes.
"""

from __future__ import annotations

import logging
import threading
import time

import psycopg

from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.databases.postgres_connection import PROMPTLY, Connection, connect, keep_alive

log = logging.getLogger("durable_ray.store")

#: Seconds between two heartbeats, and without one until the server ends the session.
_BEAT = 5.0
_UNHEARD = 30.0
#: The schema is part of the key, so that hubs may share a database. The number is this project's.
_TRY_LOCK = "SELECT pg_try_advisory_lock(1146181964, hashtext(current_schema()))"


class HubLock:
    """The hub's lock, held or not."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: Connection | None = None
        self._using = threading.Lock()
        self._over = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self) -> bool:
        """Take the lock, if it is not held already; whether it is held now. Raises StoreError if nobody answers."""
        with self._using:
            return self._alive() or self._take()

    def held(self) -> bool:
        """Whether the lock is held; one that was lost is taken again, unless somebody was faster."""
        with self._using:
            return self._beating is not None and (self._alive() or self._take())

    def close(self) -> None:
        """Release the lock."""
        self._over.set()
        alone = self._using.acquire(timeout=1)  # else it waits for an answer, which closing ends
        if self._session is not None:
            self._session.close()
        if alone:
            self._using.release()

    def _take(self) -> bool:
        try:
            session = connect(self._url, until=time.monotonic() + PROMPTLY)
            row = session.execute(_TRY_LOCK).fetchone()
            if row is None or not row[0]:
                session.close()
                return False
            keep_alive(session, _UNHEARD)
        except psycopg.OperationalError as error:
            raise StoreError(f"PostgreSQL does not answer ({error})") from error
        self._session = session
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, name="hub-lock", daemon=True)
            self._beating.start()
        return True

    def _alive(self) -> bool:
        session = self._session
        if session is None or session.closed:
            return False
        session.until = time.monotonic() + PROMPTLY
        try:
            session.execute("SELECT 1")
        except psycopg.OperationalError:
            session.close()
            return False
        return True

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            with self._using:
                if self._session is not None and not self._session.closed and not self._alive():
                    log.warning("the session with the hub's lock broke; the next heartbeat takes it again, if it can")
