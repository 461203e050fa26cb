"""Group commit: writes that come while a transaction is under way share the next; each caller hears its own outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from durable_ray.actors.store.committer import MAX_GROUP, Committer
from durable_ray.actors.store.contract import Committed, CommitUnknown, StoreError
from durable_ray.actors.store.records import Fence

FENCE = Fence("h", 1, 1)


class Scripted:
    """A store that answers each write with itself; a test decides when, and what goes wrong."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()
        self.errors: list[Exception | None] = []

    def commit(self, fence: Fence, writes: Sequence[Any]) -> Committed:
        self.entered.set()
        self.go.wait(10)
        self.groups.append(list(writes))
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return Committed(tuple(writes), 7)


def committer(store: Scripted, noticed: Any = lambda revision: None) -> Committer:
    return Committer(store, FENCE, asyncio.get_running_loop(), noticed)  # type: ignore[arg-type]


async def test_what_comes_during_a_commit_shares_the_next() -> None:
    store = Scripted()
    store.go.clear()
    one = committer(store)
    first = one.write(["a"])  # type: ignore[list-item]
    await asyncio.to_thread(store.entered.wait, 10)
    rest = [one.write([f"{n}", f"{n}'"]) for n in range(50)]  # type: ignore[list-item]
    assert one.waiting == 51
    store.go.set()
    assert await first == ("a",)
    assert [await answer for answer in rest] == [(f"{n}", f"{n}'") for n in range(50)]
    assert [len(group) for group in store.groups] == [1, 100]
    assert one.waiting == 0
    one.close()


async def test_a_group_is_bounded() -> None:
    store = Scripted()
    store.go.clear()
    one = committer(store)
    writes = [one.write(["x"]) for _ in range(MAX_GROUP + 10)]  # type: ignore[list-item]
    store.go.set()
    await asyncio.gather(*writes)
    assert max(len(group) for group in store.groups) <= MAX_GROUP
    one.close()


async def test_all_of_a_group_hear_its_error_and_the_next_group_is_another() -> None:
    store = Scripted()
    store.errors = [StoreError("busy")]
    one = committer(store)
    with pytest.raises(StoreError, match="busy"):
        await one.write(["a"])  # type: ignore[list-item]
    assert await one.write(["b"]) == ("b",)  # type: ignore[list-item]
    one.close()


async def test_a_deploy_is_noticed() -> None:
    seen: list[int] = []
    one = committer(Scripted(), seen.append)
    await one.write(["a"])  # type: ignore[list-item]
    assert seen == [7]
    one.close()


async def test_an_unknown_outcome_is_asked_for_again_but_not_for_ever() -> None:
    store = Scripted()
    store.errors = [CommitUnknown("broke"), CommitUnknown("broke")]
    one = committer(store)
    assert await one.write_once(["a"]) == ("a",)  # type: ignore[list-item]
    assert store.groups == [["a"]] * 3
    store.errors = [CommitUnknown("broke")] * 20
    with pytest.raises(CommitUnknown):
        await one.write_once(["a"])  # type: ignore[list-item]
    store.errors = [StoreError("full")]
    with pytest.raises(StoreError, match="full"):
        await one.write_once(["a"])  # type: ignore[list-item]
    one.close()


async def test_closing_finishes_what_is_queued_and_refuses_the_rest() -> None:
    store = Scripted()
    store.go.clear()
    one = committer(store)
    queued = [one.write([n]) for n in range(3)]  # type: ignore[list-item]
    closing = asyncio.get_running_loop().run_in_executor(None, one.close)
    store.go.set()
    await closing
    assert [await answer for answer in queued] == [(0,), (1,), (2,)]
    with pytest.raises(StoreError, match="closed"):
        await one.write(["late"])  # type: ignore[list-item]
