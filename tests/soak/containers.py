"""How long every container is that a hub, its clients and its modules keep: a leak is one that grows with what passes through.

Nothing is listed by hand: everything reachable through attributes of our own classes and through our modules' globals is looked
at, so a container that is added tomorrow is measured tomorrow.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from types import ModuleType
from typing import Any

from msgspec import Struct

from durable_ray.testing import TestHub

#: The objects of the whole process that the garbage collector knows, and how much they vary with nothing kept.
OBJECTS, OBJECTS_SLACK = "objects of the process", 1_200
_CONTAINERS = (list, deque, set, frozenset, dict, Mapping, Set)
#: Deeper in, things belong to an instance in memory or to a message, and are counted with the container that holds them.
_DEEPEST = 12


def sizes(*roots: object) -> dict[str, int]:
    """Total lengths of containers by the path of attributes that leads to them (keys and positions left out)."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    queue: deque[tuple[str, object, int]] = deque((type(root).__name__, root, 0) for root in roots)
    queue.extend((name, module, 0) for name, module in sorted(sys.modules.items()) if _is_ours(name))
    while queue:
        path, thing, depth = queue.popleft()
        if id(thing) in seen or depth > _DEEPEST:
            continue
        seen.add(id(thing))
        if isinstance(thing, functools._lru_cache_wrapper):
            found[path] = thing.cache_info().currsize
            continue
        if isinstance(thing, _CONTAINERS) and not isinstance(thing, Struct):
            found[path] = found.get(path, 0) + len(thing)
            queue.extend((f"{path}[]", item, depth + 1) for item in _items(thing))
        queue.extend((f"{path}.{name}", value, depth + 1) for name, value in _attributes(thing))
    return found


def _is_ours(name: str) -> bool:
    return name == "durable_ray" or name.startswith("durable_ray.")


def _items(container: Any) -> Iterable[object]:
    values = container.values() if isinstance(container, Mapping) else container
    # A tuple in a container is an entry of it: what it holds is looked at, too.
    return [part for value in tuple(values) for part in (value if isinstance(value, tuple) else (value,))]


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    if isinstance(thing, ModuleType):
        for name, value in vars(thing).items():
            if isinstance(value, (list, deque, set, dict, functools._lru_cache_wrapper)) and not name.startswith("__"):
                yield name, value
        return
    if not _is_ours(type(thing).__module__):
        return
    yield from vars(thing).items() if hasattr(thing, "__dict__") else ()
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("__") and hasattr(thing, name):
                yield name, getattr(thing, name)


def sizes_of(hub: TestHub, *more: object) -> dict[str, int]:
    """What a hub in this process, its two clients and all modules hold, and the number of objects of the whole process."""
    hub.settle()
    gc.collect()
    return sizes(hub, *more) | {OBJECTS: len(gc.get_objects())}


def grown(before: dict[str, int], after: dict[str, int], bounds: Mapping[str, int], slack: int) -> dict[str, str]:
    """Containers that grew by more than `slack`; those named in `bounds` (by the end of their path) may, up to that length."""
    found = {}
    for path, size in after.items():
        bound = next((bound for end, bound in bounds.items() if path.endswith(end)), None)
        more = size - before.get(path, 0)
        if path == OBJECTS:
            more -= OBJECTS_SLACK
        if size > bound if bound is not None else more > slack:
            found[path] = f"{before.get(path, 0)} -> {size}"
    return found
