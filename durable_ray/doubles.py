"""Test doubles for activities: called in the test's own process, so that a list of the test sees what they append to it.

An activity's code travels as a copy. A double travels as a key, by which its function is found in this process again.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

from durable_ray.orchestrations.authoring.definitions import Activity

_living: dict[str, ActivityDouble] = {}
_numbers = itertools.count(1)


class DoubleGone(RuntimeError):
    """A double was called after the hub of its test was closed."""


class ActivityDouble:
    """What stands in for an activity in a test hub, and what it was called with. Made by `TestHub.fake`.

    Attributes:
        calls: each attempt's arguments as `unittest.mock.call`, without its context and by position where
            it has positions, in the order they began.
    """

    def __init__(self, activity: Activity[..., Any, Any], does: Callable[..., Any]) -> None:
        self.name = activity.name
        self.calls: list[Any] = []
        self._takes_context = activity.shape.takes_context
        self._does = does
        self._gate = threading.Lock()
        self._key = f"{activity.name}#{next(_numbers)}"
        _living[self._key] = self
        self.definition = _standing_in(activity, self._key, asynchronous=inspect.iscoroutinefunction(does))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One attempt of the activity."""
        with self._gate:
            self.calls.append(mock.call(*args[int(self._takes_context) :], **kwargs))
        return self._does(*args, **kwargs)

    def close(self) -> None:
        """From now on calls fail."""
        _living.pop(self._key, None)

    def __repr__(self) -> str:
        return f"<double of activity {self.name!r}, called {len(self.calls)} times>"


def answering(does: Callable[..., Any] | None, returns: Any, raises: BaseException | type[BaseException] | None) -> Any:
    """The function of a double, by the one way in which it was said what it does. Raises TypeError for two of them."""
    if sum((does is not None, returns is not None, raises is not None)) > 1:
        raise TypeError("a double does one thing: give it a function, returns= or raises=")
    if does is not None and not callable(does):
        raise TypeError(f"a double is made of a function, not of {does!r}; to return a value: returns=")
    if raises is not None:
        return mock.Mock(side_effect=raises)
    return does or (lambda *args, **kwargs: returns)


def _standing_in(activity: Activity[..., Any, Any], key: str, *, asynchronous: bool) -> Activity[..., Any, Any]:
    """A definition with the name, types and options of `activity`, whose code is the key."""
    _ = activity.hints  # read now: the copy's function has none
    made = copy.copy(activity)
    made.fn = _calling_async(key) if asynchronous else _calling(key)
    made.style = "coroutine" if asynchronous else "function"
    return made


def _calling(key: str) -> Callable[..., Any]:
    def double(*args: Any, **kwargs: Any) -> Any:
        return found(key)(*args, **kwargs)

    return _of_no_module(double)


def _calling_async(key: str) -> Callable[..., Any]:
    async def double(*args: Any, **kwargs: Any) -> Any:
        return await found(key)(*args, **kwargs)

    return _of_no_module(double)


def _of_no_module(double: Callable[..., Any]) -> Callable[..., Any]:
    # The code of installed modules counts by its name alone, and two doubles would be one.
    double.__module__ = "durable_ray_doubles"
    return double


def found(key: str) -> ActivityDouble:
    """The double of this key. Raises DoubleGone."""
    double = _living.get(key)
    if double is None:
        raise DoubleGone(f"the double {key} belongs to a hub that was closed")
    return double
