"""How many bodies of activities run at once: a book that code pickled into the store still finds by its import name.

An activity that enters stays until the test lets it out, so that nothing here depends on how long anything takes.
"""

from __future__ import annotations

import threading

PATIENCE = 20.0


class Gauge:
    """Who is inside. Labels are the test's."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.clear()

    def clear(self) -> None:
        """A new book; whoever is still inside from the last one is let out and not counted."""
        with self._changed:
            self._life = getattr(self, "_life", 0) + 1
            self._inside: list[object] = []
            self._out: set[object] = set()
            self._all_out = False
            self.began: list[object] = []
            self.most = 0
            self._changed.notify_all()

    def stay(self, label: object) -> None:
        """Enter, and stay until let out. Called by activities."""
        with self._changed:
            life = self._life
            self._inside.append(label)
            self.began.append(label)
            self.most = max(self.most, len(self._inside))
            self._changed.notify_all()
            self._changed.wait_for(lambda: life != self._life or self._all_out or label in self._out, PATIENCE)
            if life == self._life and label in self._inside:
                self._inside.remove(label)
                self._changed.notify_all()

    def let_out(self, *labels: object) -> None:
        """These may leave; without labels, all may, and all that come."""
        with self._changed:
            self._out.update(labels)
            self._all_out = self._all_out or not labels
            self._changed.notify_all()

    def forget(self) -> None:
        """Their host has crashed: whoever is inside outlives it and is not counted."""
        with self._changed:
            self._inside.clear()

    def inside(self, count: int) -> list[object]:
        """Those inside, as soon as there are `count` of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._inside) == count, PATIENCE), (count, self._inside)
            return list(self._inside)

    def holds(self, *labels: object) -> None:
        """Wait until exactly these are inside."""
        with self._changed:
            assert self._changed.wait_for(lambda: set(self._inside) == set(labels), PATIENCE), self._inside


GAUGE = Gauge()
