"""Opening a store by its URL, and the store itself: the questions of several small classes on one database."""

from __future__ import annotations

from collections.abc import Sequence

from durable_ray.actors.store.contract import Committed, Store, StoreUnusable
from durable_ray.actors.store.databases.database import Database, FencedDatabase
from durable_ray.actors.store.databases.revision import MOVED, REVISION, found_version
from durable_ray.actors.store.databases.sqlite import SqliteDatabase
from durable_ray.actors.store.records import Fence
from durable_ray.actors.store.sql.commits import commit
from durable_ray.actors.store.sql.definitions import SqlDefinitions
from durable_ray.actors.store.sql.limits import SqlInstanceLimits, SqlPermits
from durable_ray.actors.store.sql.measuring import SqlMeasuring
from durable_ray.actors.store.sql.queries import SqlQueries
from durable_ray.actors.store.sql.rows import SqlReads
from durable_ray.actors.store.sql.schedules import SqlSchedules
from durable_ray.actors.store.sql.upkeep import SqlErasure, SqlUpkeep
from durable_ray.actors.store.sql.work import SqlWork
from durable_ray.actors.store.urls import is_sqlite, sqlite_path
from durable_ray.actors.store.writes import Write


class SqlStore(
    SqlReads,
    SqlWork,
    SqlQueries,
    SqlMeasuring,
    SqlDefinitions,
    SqlInstanceLimits,
    SqlPermits,
    SqlSchedules,
    SqlErasure,
    SqlUpkeep,
):
    """A `contract.Store` on any `Database`. Belongs to the process that opened it."""

    def __init__(self, database: Database) -> None:
        SqlUpkeep.__init__(self, database)

    @property
    def database(self) -> Database:
        """For those who look at tables directly: checks and tests."""
        return self._database

    def fenced(self, fence: Fence) -> SqlStore:
        """The same store, for the holder of `fence`; see the contract."""
        store = SqlStore(FencedDatabase(self._database, fence))
        store._owned = self._owned
        return store

    def commit(self, fence: Fence | None, writes: Sequence[Write]) -> Committed:
        """Make all writes in one durable transaction, each isolated."""
        if fence is not None and isinstance(self._database, FencedDatabase):
            return commit(self._database.bare, fence, writes)
        return commit(self._database, fence, writes)

    def __reduce__(self) -> str:
        raise TypeError("a store belongs to the process that opened it; pass its URL and open it there")


def open_store(url: str, *, create: bool = True) -> Store:
    """Open (and, unless `create` is false, begin) the store at `url`; an older schema is brought up to date.

    `url` is `sqlite:///relative/path`, `sqlite:////absolute/path`, `sqlite://` (in memory: gone with this object), or
    `postgresql://user:password@host/database`.

    Raises:
        StoreUnusable: it cannot be used (no such store, no rights, a newer schema, a network filesystem, an unsound
            SQLite, a missing driver); the message says what to do.

    Example:
        >>> store = open_store("sqlite://")
        >>> store.hub() is None
        True
        >>> store.close()
    """
    database = _database(url, create)
    try:
        _bring_up_to_date(database, create)
    except BaseException:
        database.close()
        raise
    return SqlStore(database)


def _database(url: str, create: bool) -> Database:
    if is_sqlite(url):
        return SqliteDatabase(sqlite_path(url), create)
    if url.partition(":")[0].partition("+")[0] in {"postgresql", "postgres"}:
        from durable_ray.actors.store.databases.postgres import PostgresDatabase

        return PostgresDatabase(url)
    scheme, slashes, _ = url.partition("://")
    # What has no scheme may be anything, also a driver's own words with a password among them.
    raise StoreUnusable(f"{scheme if slashes else 'this'!r} is no kind of store; use sqlite:///path or postgresql://…")


def _bring_up_to_date(database: Database, create: bool) -> None:
    """A fresh store gets the newest schema at once, an older one is migrated, a newer one is refused."""
    with database.read() as session:
        found = found_version(session)
    if found == REVISION:
        return
    if found == MOVED:
        raise StoreUnusable(
            "this store was moved to another database (durable-ray migrate-store), and its hub goes on there; open that one, "
            "or, if it never ran there, set durable_ray_version.version_num back (docs/operations.md)"
        )
    if found is None and not create:
        raise StoreUnusable("there is no store in this database; start a hub on it first, or check the URL")
    # Most of those who open a store find it as it should be, and need neither the tables nor what changes them.
    from durable_ray.actors.store.databases.making import make, upgrade

    if found is None:
        found = make(database)
    if found != REVISION:
        upgrade(database, found)
