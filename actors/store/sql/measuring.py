"""What the store knows of a hub's load: its size, waiting messages, permits, queues; each from an index or a small table."""

from __future__ import annotations

from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.records import StoreLoad
from durable_ray.actors.store.sql.statement import Statement

SIZE = Statement(
    sqlite="SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    postgresql="SELECT pg_database_size(current_database())",
)
INBOX = Statement('SELECT count(*), min("row"), max("row") FROM inbox')
PERMITS = Statement("SELECT name, granted, count(*) FROM permits GROUP BY name, granted")
QUEUED = Statement("SELECT name, count(*) FROM instances WHERE queued GROUP BY name")


class SqlMeasuring:
    """Measures of a store."""

    _database: Database

    def load_now(self) -> StoreLoad:
        """See the contract."""
        with self._database.read() as session:
            size = session.one(SIZE)
            messages, first, last = session.one(INBOX) or (0, None, None)
            return StoreLoad(
                int(size[0]) if size else 0,
                messages,
                first,
                last,
                {(name, bool(granted)): int(n) for name, granted, n in session.all(PERMITS)},
                {name: int(n) for name, n in session.all(QUEUED)},
            )
