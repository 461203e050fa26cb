"""What differs between databases, and nothing else: how a transaction begins, ends, fails and is tried again.

Everything above this port is written once. A database hands out sessions: `read` for queries that see one moment,
`write` for one transaction. `write` takes the whole body as a function, because a body may have to run again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from durable_ray.actors.store.contract import Fenced, StoreError
from durable_ray.actors.store.records import Fence
from durable_ray.actors.store.sql.statement import Dialect, Session, Statement

#: Who owns a host now. The lease is locked for the transaction; the hub's row is only read, for a new boot changes
#: every lease too.
FENCE = Statement("""
    SELECT leases.epoch, hub.boot_epoch, hub.definitions_revision
    FROM leases JOIN hub ON TRUE
    WHERE leases.host = :host
    FOR SHARE OF leases
    """)

T = TypeVar("T")


class Unholdable(StoreError):
    """The database cannot hold a value of this transaction; nothing was written."""


class Database(Protocol):
    """A database that may be used from several threads at once."""

    @property
    def dialect(self) -> Dialect:
        """Which text of a statement it runs."""

    def read(self) -> AbstractContextManager[Session]:
        """A session for queries; all of them see the same moment."""

    def write(self, body: Callable[[Session], T], *, long: bool = False) -> T:
        """Run `body` in one durable transaction, again if that failed without its fault.

        It ends in bounded time, also where nobody answers: in half a minute, or `long` in a quarter of an hour.

        An exception of `body` rolls back and is raised. Raises `Unholdable` for a value the database cannot hold,
        `CommitUnknown` if the outcome of COMMIT is unknown, another StoreError after which nothing was written.
        """

    def apart(self, run: Callable[[Any], None]) -> None:
        """Call `run` with a connection of the driver's for it alone, to begin, end and close; writers of a file wait."""

    def own(self, describe: str) -> bool:
        """Take the hub's lock for as long as this object lives; False if another process has it."""

    def owns(self) -> bool:
        """Whether the hub's lock is still held (a lost one is taken again if nobody took it meanwhile)."""

    def upkeep(self) -> None:
        """Maintenance that one process does for all."""

    def close(self) -> None:
        """Release every connection and lock."""


class FencedDatabase:
    """A database for the holder of a fence: whatever is written asserts that fence first, in the same transaction.

    A writer cannot forget it, because it has no other way to write.
    """

    def __init__(self, database: Database, fence: Fence) -> None:
        #: The same one, for what asserts a fence by itself.
        self.bare = database
        self._fence = fence
        self.dialect: Dialect = database.dialect
        self.read = database.read
        self.apart = database.apart
        self.own = database.own
        self.owns = database.owns
        self.upkeep = database.upkeep
        self.close = database.close

    def write(self, body: Callable[[Session], T], *, long: bool = False) -> T:
        """As the database's; raises Fenced, after which nothing was written."""

        def fenced(session: Session) -> T:
            assert_fence(session, self._fence)
            return body(session)

        return self.bare.write(fenced, long=long)


def assert_fence(session: Session, fence: Fence) -> int:
    """Raise Fenced unless `fence` is the newest of its host in this boot; the definitions' revision."""
    row = session.one(FENCE, host=fence.host)
    if row is None or row[0] != fence.epoch or row[1] != fence.boot_epoch:
        raise Fenced(
            f"{fence.host!r} has another owner now (this one: epoch {fence.epoch} of boot {fence.boot_epoch}, "
            f"the store says {tuple(row[:2]) if row else 'purged'}); this process must exit"
        )
    return int(row[2])
