"""Whose actor could not be made: tried again after a while that grows, so that they keep nobody else from being admitted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from durable_ray.actors.store.records import InstanceRow

#: Seconds before the second attempt, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
#: Pauses that are remembered when they are over: whoever failed may have been ended, and never come.
_MOST = 1_000


class CreateBackoff:
    """Executions that are passed over for now. `over` is called whenever one need not be any more."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        #: Of whoever failed and has not come since, by ID: which execution, and how long it is put off.
        self._pauses: dict[str, tuple[str, float]] = {}
        self._waits: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def __contains__(self, row: InstanceRow) -> bool:
        """Whether it has to wait. A later life of its ID need not: it may be another's code."""
        return row.instance_id in self._waits and self._pauses[row.instance_id][0] == row.execution_id

    def failed(self, row: InstanceRow) -> None:
        """What keeps its actor from being made may last."""
        execution_id, pause = self._pauses.get(row.instance_id, ("", 0.0))
        again = pause if execution_id == row.execution_id else 0.0
        pause = min(2 * again, _LONGEST_PAUSE) if again else _FIRST_PAUSE
        self.came(row.instance_id)
        self._pauses[row.instance_id] = row.execution_id, pause
        if len(self._pauses) > _MOST + len(self._waits):
            del self._pauses[next(i for i in self._pauses if i not in self._waits)]
        self._waits[row.instance_id] = asyncio.get_running_loop().call_later(pause, self._try_again, row.instance_id)

    def came(self, instance_id: str) -> None:
        """Its actor is there."""
        self._pauses.pop(instance_id, None)
        if (wait := self._waits.pop(instance_id, None)) is not None:
            wait.cancel()

    def _try_again(self, instance_id: str) -> None:
        del self._waits[instance_id]
        self._over()
