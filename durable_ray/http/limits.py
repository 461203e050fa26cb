"""How much one key may have under way at once: streams it follows, requests that wait for an instance.

What is under way for minutes holds a connection and memory here and a poll in the hub; one caller must not take all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from durable_ray.http.keys import Key

#: What is answered beside a refusal.
RETRY_AFTER = {"Retry-After": "5"}


class TooMany(Exception):
    """A key has as much under way as it may; the message names the setting."""


class PerKey:
    """So many of something at once for each key."""

    def __init__(self, most: int, refusal: str) -> None:
        """`refusal`: what is said to one more, with `{most}` in it."""
        self._most = most
        self._refusal = refusal.format(most=most)
        self._under_way: Counter[Key | None] = Counter()

    @contextmanager
    def one_more(self, scope: Scope) -> Iterator[None]:
        """Count one for the key of this request until the block ends. Raises TooMany."""
        key: Key | None = scope.get("state", {}).get("key")
        if self._under_way[key] >= self._most:
            raise TooMany(self._refusal)
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1


def stream_limit(most: int) -> PerKey:
    """The limit of streams."""
    return PerKey(most, "this key follows {most} streams already: end one of them, or raise max_streams")


def wait_limit(most: int) -> PerKey:
    """The limit of requests that wait for an instance."""
    return PerKey(
        most, "this key waits with {most} requests already: wait with fewer, poll without, or raise max_waits"
    )
