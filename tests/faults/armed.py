"""A store that fails on command, and a hub on it: a process that crashes at an exact commit, with nothing killed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import durable_ray.actors.host.message_delivery
import durable_ray.testing
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Committed, CommitUnknown, Store, StoreError
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import Fence
from durable_ray.actors.store.sql.checks import check
from durable_ray.actors.store.writes import CommitTurn, Write
from durable_ray.testing import TestHub
from tests.faults.ledger import LEDGER

#: How a commit can end badly: not made and told so; not made or made, and nobody knows; and the same with its process.
MODES = ("refused", "unknown, not made", "unknown, made", "crash before", "crash after")

Aim = Callable[[Fence | None, Sequence[Write]], bool]


def turns(fence: Fence | None, writes: Sequence[Write]) -> bool:
    """Commits in which an instance takes a turn."""
    return any(isinstance(write, CommitTurn) for write in writes)


def anything(fence: Fence | None, writes: Sequence[Write]) -> bool:
    """Every commit."""
    return True


class ArmedStore:
    """Passes everything on to a real store, but for commits number `shots` that are aimed at: they fail in `mode`."""

    def __init__(self, store: Store, mode: str = "", shots: Sequence[int] = (), aim: Aim = turns) -> None:
        self.real = store
        self._mode = mode
        self._shots = set(shots)
        self._aim = aim
        self._lock = threading.Lock()
        #: Commits aimed at so far.
        self.seen = 0
        self.story: list[str] = []
        #: Ends a host as a crash would and lets its successor start; set by `armed_hub`.
        self.crash: Callable[[str], None] = lambda host: None
        #: Methods whose next calls fail, and how many.
        self.broken: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._break(name)
            return found(*args, **kwargs)

        return call

    def _break(self, name: str) -> None:
        with self._lock:
            left = self.broken.get(name, 0)
            if left > 0:
                self.broken[name] = left - 1
                raise StoreError(f"{name}: the database is busy")

    def fenced(self, fence: Fence) -> Any:
        """The store for the holder of a fence: what breaks here, breaks there."""
        return _Fenced(self, self.real.fenced(fence))

    def commit(self, fence: Fence | None, writes: Sequence[Write]) -> Committed:
        """As the store's, or as the shot says."""
        self._break("commit")
        with self._lock:
            aimed = self._aim(fence, writes)
            self.seen += aimed
            hit = aimed and self.seen in self._shots
        kinds = ", ".join(f"{type(w).__name__}({getattr(w, 'instance_id', '')})" for w in writes)
        host = fence.host if fence else "nobody"
        self.story.append(f"{host}: {kinds}{f'   <- {self._mode}' if hit else ''}")
        if not hit:
            return self.real.commit(fence, writes)
        made = self._mode in ("unknown, made", "crash after")
        if made:
            self.real.commit(fence, writes)
        if self._mode.startswith("crash"):
            self.crash(host)
        if self._mode == "refused":
            raise StoreError("database is locked")
        raise CommitUnknown("the connection broke")


class _Fenced(ArmedStore):
    """An armed store for the holder of a fence; commits are made on the store itself."""

    def __init__(self, armed: ArmedStore, real: Store) -> None:
        super().__init__(real)
        self.broken = armed.broken
        self._lock = armed._lock


@contextmanager
def armed_hub(
    mode: str = "",
    shots: Sequence[int] = (),
    aim: Aim = turns,
    *,
    url: str = "sqlite://",
    settings: HubSettings | None = None,
    sound: bool = True,
) -> Iterator[tuple[TestHub, ArmedStore]]:
    """A hub on an armed store. Afterwards the store's bookkeeping must be sound, whatever happened."""
    store = ArmedStore(open_store(url), mode, shots, aim)
    LEDGER.begin(store)
    settings = settings or HubSettings(partitions=2, sweep_interval=0.05, max_dedicated=4)
    with (
        mock.patch.object(durable_ray.testing, "open_store", _always(store)),
        mock.patch.object(durable_ray.actors.host.message_delivery, "_PAUSE", 0.01),
        TestHub(settings=settings) as hub,
    ):

        def crash(host: str) -> None:
            if host != "registry":
                hub.on_loop(_crash(hub, host))

        store.crash = crash
        yield hub, store
        store.broken.clear()
        if sound:
            hub.on_loop(hub.settled()).result(10)
            assert check(store.real) == []  # type: ignore[arg-type]


def _always(store: Store | ArmedStore) -> Callable[[str], Any]:
    return lambda url: store


async def _crash(hub: TestHub, host: str) -> None:
    await hub.hub.drop(host)
    if not hub.hub.closing:
        await hub.hub.ensure(host)
