"""What must hold between the tables whenever nobody is writing: the store's own bookkeeping, looked at as a whole.

For tests after faults and for `doctor`. Reads every instance, so not for a hot path.
"""

from __future__ import annotations

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import SqlStore
from durable_ray.actors.store.sql import Session
from durable_ray.actors.store.texts import checks as texts

_ORPHANS = {"inputs": texts.ORPHANED_INPUTS, "tags": texts.ORPHANED_TAGS}


def check(store: Store) -> list[str]:
    """Sentences about what does not hold; empty if all is well.

    Example:
        >>> from durable_ray.actors.store.opening import open_store
        >>> check(open_store("sqlite://"))
        []
    """
    if not isinstance(store, SqlStore):
        raise TypeError(f"only a store opened by open_store can be checked, not {type(store).__name__}")
    with store.database.read() as session:
        return [
            *_miscounted(session),
            *(f"{row[0]!r} is {row[1]}, which its times contradict" for row in session.all(texts.AT_ODDS)),
            *(
                f"message {row[1]!r} waits for {row[0]!r}, which is absent, finished or elsewhere"
                for row in session.all(texts.MISADDRESSED)
            ),
            *(
                f"{row[0]!r} has history of an execution {row[1]!r} that is not its own"
                for row in session.all(texts.OLD_HISTORY)
            ),
            *(
                f"{table} of {row[0]!r}, which is absent"
                for table, statement in _ORPHANS.items()
                for row in session.all(statement)
            ),
        ]


def _miscounted(session: Session) -> list[str]:
    truth = {(name, status): int(n) for name, status, n in session.all(texts.TRUTH)}
    counted = {(name, status): int(n) for name, status, n in session.all(texts.COUNTED)}
    return [
        f"the counters say {counted.get(key, 0)} of {key[0]!r} are {key[1]}, there are {truth.get(key, 0)}"
        for key in sorted(truth.keys() | counted.keys())
        if truth.get(key, 0) != counted.get(key, 0)
    ]
