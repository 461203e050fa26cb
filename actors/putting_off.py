"""Whose actor could not be made: tried again after a while that grows, so that they keep nobody else from being admitted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Seconds before the second attempt, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


class PutOff:
    """Instances that are passed over for now. `over` is called whenever one need not be any more."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        #: Of whoever failed and has not come since: how long it was put off.
        self._pauses: dict[str, float] = {}
        self.names: set[str] = set()

    def failed(self, instance_id: str) -> None:
        """What keeps its actor from being made may last."""
        pause = self._pauses[instance_id] = min(2 * self._pauses.get(instance_id, _FIRST_PAUSE / 2), _LONGEST_PAUSE)
        self.names.add(instance_id)
        asyncio.get_running_loop().call_later(pause, self._try_again, instance_id)

    def came(self, instance_id: str) -> None:
        """Its actor is there."""
        self._pauses.pop(instance_id, None)

    def _try_again(self, instance_id: str) -> None:
        self.names.discard(instance_id)
        self._over()
