"""Retry policies: when the next attempt begins, computed without a clock."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.times import LATEST, after, clamped, duration

#: More attempts than this are as many as one likes: it is what every reader of JSON can tell apart.
_MANY = 1 << 53

ExceptionFilter = type[BaseException] | str


def _names(filters: Iterable[ExceptionFilter] | None) -> tuple[str, ...] | None:
    if filters is None:
        return None
    return tuple(f if isinstance(f, str) else f"{f.__module__}.{f.__qualname__}" for f in filters)


@dataclass(frozen=True, slots=True, init=False)
class RetryPolicy:
    """How often, how soon and for which errors an activity or sub-orchestration is tried again.

    The attempts are durable: they are recorded in history, wait in the store and survive every process. The total
    timeout is measured in orchestration time, so replay always decides alike.

    Args:
        first_retry_interval: wait before the second attempt (timedelta, or seconds).
        max_number_of_attempts: how many attempts in all, the first included; at least 1. Infinity: no limit.
        backoff_coefficient: each wait is this many times the one before; at least 1.
        max_retry_interval: no wait is longer than this (timedelta, seconds, or None).
        retry_timeout: no new attempt begins later than this after the first was scheduled (timedelta, seconds, None).
        retry_on: only these exceptions are tried again (classes, or names; subclasses count). None: all. As
            `TaskFailed.is_caused_by`, it looks through causes, groups, and what failed in a sub-orchestration.
        do_not_retry_on: these are never retried, even if `retry_on` matches them.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> policy = RetryPolicy(first_retry_interval=2, max_number_of_attempts=5, backoff_coefficient=2)

    The fields are durabletask-python's `RetryPolicy`; the filters are Temporal's non-retryable types.
    """

    # Defaults of fields that an older history lacks; the constructor sets every one.
    first_retry_interval: int = 1_000_000
    max_number_of_attempts: int = 3
    backoff_coefficient: float = 1.0
    max_retry_interval: int | None = None
    retry_timeout: int | None = None
    retry_on: tuple[str, ...] | None = None
    do_not_retry_on: tuple[str, ...] = ()

    def __init__(
        self,
        first_retry_interval: timedelta | float = 1.0,
        max_number_of_attempts: float = 3,
        backoff_coefficient: float = 1.0,
        max_retry_interval: timedelta | float | None = None,
        retry_timeout: timedelta | float | None = None,
        retry_on: Iterable[ExceptionFilter] | None = None,
        do_not_retry_on: Iterable[ExceptionFilter] = (),
    ) -> None:
        if not max_number_of_attempts >= 1:
            raise ValueError("max_number_of_attempts counts the first attempt too and must be at least 1")
        if not backoff_coefficient >= 1:
            raise ValueError("backoff_coefficient must be at least 1")
        assign = object.__setattr__
        assign(self, "first_retry_interval", duration(first_retry_interval, "first_retry_interval", least=0))
        assign(self, "max_number_of_attempts", int(min(max_number_of_attempts, _MANY)))
        # A whole number of hundreds of digits is no float; multiplied with that much or more, every wait is endless.
        endless = backoff_coefficient > LATEST
        assign(self, "backoff_coefficient", math.inf if endless else float(backoff_coefficient))
        assign(self, "max_retry_interval", _optional_micros(max_retry_interval, "max_retry_interval"))
        assign(self, "retry_timeout", _optional_micros(retry_timeout, "retry_timeout"))
        assign(self, "retry_on", _names(retry_on))
        assign(self, "do_not_retry_on", _names(do_not_retry_on) or ())

    def next_attempt_at(self, attempt: int, scheduled_at: int, failure: FailureDetails, now: int) -> int | None:
        """When attempt `attempt + 1` begins (µs), or None if `failure` of `attempt` is final."""
        if attempt >= self.max_number_of_attempts or failure.is_final:
            return None
        if any(failure.is_caused_by(name) for name in self.do_not_retry_on):
            return None
        if self.retry_on is not None and not any(failure.is_caused_by(name) for name in self.retry_on):
            return None
        at = after(now, self._delay(attempt))
        if self.retry_timeout is not None and at > after(scheduled_at, self.retry_timeout):
            return None
        return at

    def _delay(self, attempt: int) -> int:
        """How long (µs) to wait after `attempt`."""
        if not self.first_retry_interval:
            return 0  # whatever it is multiplied with, infinity included
        try:
            delay = clamped(self.first_retry_interval * self.backoff_coefficient ** (attempt - 1))
        except OverflowError:
            delay = LATEST
        return delay if self.max_retry_interval is None else min(delay, self.max_retry_interval)


def _optional_micros(value: timedelta | float | None, name: str) -> int | None:
    return None if value is None else duration(value, name, least=0)


def retry_policy_of(options: Any) -> RetryPolicy | None:
    """A `RetryPolicy` as it is; anything with Azure's two attributes as the policy that it means.

    Raises:
        TypeError: `options` is neither.
    """
    if options is None or isinstance(options, RetryPolicy):
        return options
    try:
        interval = options.first_retry_interval_in_milliseconds / 1000
        return RetryPolicy(interval, options.max_number_of_attempts)
    except AttributeError:
        raise TypeError(f"retry options are a RetryPolicy or Azure's RetryOptions, not {options!r}") from None
