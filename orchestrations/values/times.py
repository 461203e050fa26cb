"""Times and durations as users give them, converted to microseconds.

The rule, for every place that takes a time: what is later than the year 9999 is clamped to its end, as no column, datetime or
JSON reader has to hold more; infinity and that end mean never; what is no time at all is refused when it is given.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
#: The end of the year 9999 (µs). What is meant for then or later is meant for never.
LATEST = 253_402_300_799_999_999
#: The beginning of the year 1.
EARLIEST = -62_135_596_800_000_000
#: How far (µs) the clock may go back unnoticed: time then stands still, because machines' clocks differ that much.
_STANDS_STILL = SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(micros: int) -> datetime:
    """The aware UTC time of `micros` µs since the epoch."""
    return _EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """µs since the epoch; a naive time counts as UTC.

    Example:
        >>> to_micros(datetime(1970, 1, 1, 0, 0, 1))
        1000000
    """
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return clamped((aware - _EPOCH) // _MICROSECOND)


def clamped(micros: float) -> int:
    """A moment or duration (µs) that fits everywhere.

    Example:
        >>> clamped(float("inf")) == clamped(2**200) == LATEST
        True
    """
    if micros >= LATEST:
        return LATEST
    return EARLIEST if micros <= EARLIEST else round(micros)


def duration(value: timedelta | float, name: str, *, least: int | None = None) -> int:
    """A duration in µs; infinity and all that is longer than eight thousand years is `LATEST`.

    Args:
        value: a timedelta, or seconds.
        name: what it is called where it was given.
        least: the shortest that is meant (µs).

    Raises:
        TypeError: it is neither.
        ValueError: it is no number, or too short.

    Example:
        >>> duration(1.5, "timeout"), duration(timedelta(minutes=1), "timeout")
        (1500000, 60000000)
    """
    if isinstance(value, timedelta):
        micros = clamped(value // _MICROSECOND)
    elif _is_number(value):
        if value != value:  # NaN; of an int of hundreds of digits, `isnan` does not know
            raise ValueError(f"{name} is a timedelta or a number of seconds; {value!r} is no number")
        micros = clamped(value * SECOND) if abs(value) < LATEST else clamped(value)
    else:
        raise TypeError(f"{name} is a timedelta or a number of seconds, not {value!r}")
    if least is not None and micros < least:
        raise ValueError(f"{name} must not be negative" if least == 0 else f"{name} must be positive")
    return micros


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def seconds(value: timedelta | float | None, name: str) -> float | None:
    """A limit for waiting, in seconds; None, infinity and all that is longer than eight thousand years: no limit.

    Raises:
        TypeError, ValueError: as `duration`.
    """
    micros = LATEST if value is None else duration(value, name)
    return None if micros >= LATEST else micros / SECOND


def after(now: int, span: int) -> int:
    """The moment `span` after `now` (µs)."""
    return LATEST if span >= LATEST else clamped(now + span)


def is_never(moment: int) -> bool:
    """Whether a moment (µs) is too far away to come."""
    return moment >= LATEST


def turn_time(last: int, now: int) -> int:
    """The time of a turn at `now` by the host's clock, whose predecessor had `last` (µs).

    An orchestration's time does not go back, unless the clock had jumped ahead and was mended: what begins then would be dated
    ahead for good, and its timers would be late by as much.
    """
    return last if now < last <= now + _STANDS_STILL else now
