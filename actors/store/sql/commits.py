"""Group commit as one transaction: the fence, the group, and isolation of a member that cannot be stored."""

from __future__ import annotations

from collections.abc import Sequence

from durable_ray.actors.store.contract import Committed
from durable_ray.actors.store.databases.database import Database, Unholdable, assert_fence
from durable_ray.actors.store.records import Fence
from durable_ray.actors.store.sql.group import Group, Raced, RequestKnown
from durable_ray.actors.store.sql.statement import Session, Statement
from durable_ray.actors.store.writes import Answer, Refused, Write

REVISION = Statement("SELECT definitions_revision FROM hub")

#: A race for a new ID is lost once to each rival; more than this many in a row is a fault.
_MOST_RACES = 100


def commit(database: Database, fence: Fence | None, writes: Sequence[Write]) -> Committed:
    """Make all writes in one transaction (see `contract.Store.commit`)."""
    wary = False

    def together(session: Session) -> Committed:
        revision = _asserted(session, fence)
        if not writes:
            return Committed((), revision)
        group = Group(session, writes, revision, wary)
        answers = tuple([group.decide(write) for write in writes])
        group.finish()
        return Committed(answers, revision)

    def one_by_one(session: Session) -> Committed:
        revision = _asserted(session, fence)
        return Committed(tuple([_apart(session, write, revision, wary) for write in writes]), revision)

    body = together
    for _ in range(_MOST_RACES):
        try:
            return database.write(body)
        except Raced:
            continue
        except RequestKnown:
            wary = True
        except Unholdable:
            if body is one_by_one:
                raise
            body = one_by_one
    return database.write(body)


def _apart(session: Session, write: Write, revision: int, wary: bool) -> Answer:
    """One write behind a savepoint, so that one that cannot be stored does not take the others with it."""
    session.plain("SAVEPOINT member")
    try:
        group = Group(session, (write,), revision, wary)
        answer = group.decide(write)
        group.finish()
    except Exception as error:
        if not session.cannot_hold(error):
            raise
        session.plain("ROLLBACK TO SAVEPOINT member")
        answer = Refused(f"the database cannot store this: {error}")
    session.plain("RELEASE SAVEPOINT member")
    return answer


def _asserted(session: Session, fence: Fence | None) -> int:
    """Raise Fenced unless `fence`, if there is one, holds; the definitions' revision."""
    if fence is not None:
        return assert_fence(session, fence)
    row = session.one(REVISION)
    return int(row[0]) if row else 0
