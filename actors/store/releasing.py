"""Letting held instances begin: as many as there is room for, counted and let in within one transaction."""

from __future__ import annotations

from durable_ray.actors.held import HELD
from durable_ray.actors.store.database import Database
from durable_ray.actors.store.sql import Session
from durable_ray.actors.store.texts import releasing as texts


class Releasing:
    """Who is held, and who is let in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def release(self, name: str, limit: int, now: int) -> tuple[tuple[str, str], ...]:
        """Let the first held instances of a name begin; see the contract."""

        def body(session: Session) -> tuple[tuple[str, str], ...]:
            if session.dialect == "postgresql":
                session.one(texts.ALONE, name=name)
            taken = session.one(texts.TAKEN, name=name)
            assert taken is not None
            free = limit - int(taken[0])
            if free < 1:
                return ()
            chosen = [row[0] for row in session.all(texts.NEXT, name=name, until=HELD + now, room=free)]
            if not chosen:
                return ()
            return tuple((row[0], row[1]) for row in session.all(texts.BEGIN, ids=session.list(chosen), now=now))

        return self._database.write(body)
