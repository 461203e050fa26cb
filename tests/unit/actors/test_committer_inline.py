"""The contract of commits made on the event loop: small ones of a quick store, grouped and in order like all others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from durable_ray.actors.committer import Committer
from durable_ray.actors.store.contract import Committed, StoreError
from durable_ray.actors.store.records import Fence


class Store:
    """Remembers which thread committed what."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, list[Any]]] = []
        self.fails = False

    def commit(self, fence: Fence | None, writes: Sequence[Any]) -> Committed:
        self.commits.append((threading.get_ident(), list(writes)))
        if self.fails:
            raise StoreError("full")
        return Committed(tuple(f"did {write}" for write in writes), 0)  # type: ignore[arg-type]


async def warm(store: Store) -> Any:
    committer: Any = Committer(store, Fence("h", 1, 1), asyncio.get_running_loop(), lambda revision: None)  # type: ignore[arg-type]
    committer.inline = True
    for number in range(40):
        await committer.write([number])
    store.commits.clear()
    return committer


async def test_a_small_commit_is_made_on_the_loop_once_commits_are_known_to_be_quick() -> None:
    store = Store()
    committer = await warm(store)
    assert await committer.write(["a"]) == ("did a",)
    assert [thread for thread, _ in store.commits] == [threading.get_ident()]
    committer.close()


async def test_what_is_submitted_in_one_step_is_one_commit_in_its_order() -> None:
    store = Store()
    committer = await warm(store)
    answers = await asyncio.gather(*[committer.write([name]) for name in "abc"])
    assert answers == [("did a",), ("did b",), ("did c",)]
    assert [writes for _, writes in store.commits] == [["a", "b", "c"]]
    committer.close()


async def test_a_large_commit_goes_to_the_thread_and_a_small_one_after_it_waits_its_turn() -> None:
    store = Store()
    committer = await warm(store)
    large = committer.write(list(range(100)))
    await asyncio.sleep(0)
    small = committer.write(["after"])
    await asyncio.gather(large, small)
    assert [write for _, writes in store.commits for write in writes] == [*range(100), "after"]
    assert threading.get_ident() not in [thread for thread, _ in store.commits]
    committer.close()


async def test_an_error_is_told_and_nothing_waits_any_more() -> None:
    store = Store()
    committer = await warm(store)
    store.fails = True
    outcome = await asyncio.gather(committer.write(["a"]), return_exceptions=True)
    assert isinstance(outcome[0], StoreError)
    assert committer.waiting == 0
    committer.close()


async def test_closing_finishes_what_was_submitted_in_the_same_step() -> None:
    store = Store()
    committer = await warm(store)
    last = committer.write(["last"])
    committer.close()
    assert await last == ("did last",)
