"""A cache of what was used last: bounded, so that a process that lives for months does not keep what it used at first."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """At most `most` entries; the one that was not looked for (by `get`) for longest makes room. For several threads, too.

    Example:
        >>> cache = Recent[str, int](2)
        >>> cache["a"], cache["b"] = 1, 2
        >>> cache.get("a")
        1
        >>> cache["c"] = 3
        >>> cache.get("b"), len(cache)
        (None, 2)
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def get(self, key: K) -> V | None:  # type: ignore[override]
        """What was put there, if it is still there."""
        found: V | None = None
        try:  # not `suppress`: this is called several times in each turn
            found = self[key]
            self.move_to_end(key)
        except KeyError:
            pass  # it is not there; or another thread has just put something else in its place
        return found

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        while len(self) > self._most:
            with suppress(KeyError):
                self.popitem(last=False)
