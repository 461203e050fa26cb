"""Instances held back by a limit: they wait as Pending for a time that never comes, until the registry names one.

That is all it takes, in both placements and without a process: whoever is not due does not begin. The time also keeps
when the instance was to begin at the earliest, so nothing else has to be stored.
"""

from __future__ import annotations

#: Later than any real time (µs): what is added to a start time says that the instance is held.
HELD = 1 << 61


def hold(start_at: int | None) -> int:
    """The start time of an instance that is held, to begin at `start_at` (µs) at the earliest.

    Example:
        >>> scheduled(hold(5)), scheduled(hold(None)), scheduled(5), is_held(hold(5))
        (5, None, 5, True)
    """
    return HELD + (start_at or 0)


def is_held(start_at: int | None) -> bool:
    """Whether an instance of this start time waits for its turn among others of its name."""
    return start_at is not None and start_at >= HELD


def scheduled(start_at: int | None) -> int | None:
    """When the instance was to begin at the earliest, as its starter said; None: at once."""
    return (start_at - HELD) or None if start_at is not None and start_at >= HELD else start_at
