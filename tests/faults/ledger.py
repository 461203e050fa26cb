"""What activities of these tests really did: a book that code pickled into the store still finds by its import name."""

from __future__ import annotations

import threading
from typing import Any

from durable_ray.orchestrations.history.codec import decode_events
from durable_ray.orchestrations.history.events import ActivityCompleted


class Ledger:
    """Runs of activities, and those that should not have happened: a completion in history never runs again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._store: Any = None
        self.runs: list[str] = []
        self.repeated: list[str] = []

    def begin(self, store: Any) -> None:
        """A new book, for a hub on `store`."""
        with self._lock:
            self._store, self.runs, self.repeated = store.real, [], []

    def run(self, context: Any) -> None:
        """An attempt begins."""
        name = f"{context.instance_id}/{context.execution_id[:6]}/{context.task_id}/{context.attempt}"
        row = self._store.rows([context.instance_id])[context.instance_id]
        done = [
            event.task_id
            for chunk in self._store.history(context.instance_id)
            for event in decode_events(chunk)
            if isinstance(event, ActivityCompleted)
        ]
        with self._lock:
            self.runs.append(name)
            if row.execution_id != context.execution_id or context.task_id in done:
                self.repeated.append(name)


LEDGER = Ledger()
