"""Sentences for what stands where a value should: a call whose code has not run, or a task without its result.

Otherwise the first symptom of a forgotten `yield from` or `await` is that something cannot be pickled.
"""

from __future__ import annotations

import asyncio
from types import AsyncGeneratorType, CoroutineType, GeneratorType

_PLAIN = frozenset({type(None), bool, int, float, str, dict, list, tuple})


def unawaited(value: object) -> str | None:
    """What was forgotten, if `value` is no value yet; else None.

    Example:
        >>> def helper(context): yield
        >>> unawaited(helper(None))
        'the generator helper(...) was called and not run: write `yield from helper(...)`'
    """
    kind = type(value)
    if kind in _PLAIN:
        return None
    name = getattr(value, "__name__", kind.__name__)
    if isinstance(value, GeneratorType):
        if name == "<genexpr>":
            return None
        return f"the generator {name}(...) was called and not run: write `yield from {name}(...)`"
    if isinstance(value, CoroutineType):
        return f"the coroutine {name}(...) was called and not run: write `await {name}(...)`"
    if isinstance(value, AsyncGeneratorType):
        return f"{name}(...) is an async generator: write `[item async for item in {name}(...)]`"
    if isinstance(value, asyncio.Future) or isinstance(getattr(value, "future", None), asyncio.Future):
        return f"the result of {value!r} was not waited for: write `await` (in a generator: `yield`) before it"
    return None
