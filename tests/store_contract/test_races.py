"""Races between threads and processes: one winner for one ID, no lost turn, no double, no deadlock that lasts."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import Receipt
from durable_ray.actors.store.writes import Repeated, Started
from tests.store_contract.building import made, message, new, put, row, start, turn

RACERS = 16


def test_of_racing_threads_one_starts_the_instance(store: Store) -> None:
    ready = threading.Barrier(RACERS)

    def race(n: int) -> list[Any]:
        ready.wait()
        return [made(store, start(f"i{each}", execution_id=f"x{n}")) for each in range(5)]

    with ThreadPoolExecutor(RACERS) as pool:
        results = list(pool.map(race, range(RACERS)))
    for each in range(5):
        winners = [n for n, answers in enumerate(results) if isinstance(answers[each], Started)]
        assert [f"x{n}" for n in winners] == [row(store, f"i{each}").execution_id]
        losers = {answers[each].row.execution_id for n, answers in enumerate(results) if n not in winners}
        assert losers == {row(store, f"i{each}").execution_id}


def _race_in_a_process(url: str, n: int, ready: Any, results: Any) -> None:
    store = open_store(url)
    ready.wait()
    results.put([type(made(store, start(f"i{each}", execution_id=f"x{n}"))).__name__ for each in range(10)])
    store.close()


def test_of_racing_processes_one_starts_the_instance(url: str) -> None:
    open_store(url).close()
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(RACERS), context.Queue()
    processes = [context.Process(target=_race_in_a_process, args=(url, n, ready, results)) for n in range(RACERS)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * RACERS
    assert Counter(name for each in answers for name in each) == {"Started": 10, "Exists": 10 * (RACERS - 1)}
    assert all(Counter(each[n] for each in answers)["Started"] == 1 for n in range(10))


def test_a_request_sent_twice_at_once_is_done_once(opening: Callable[[], Store]) -> None:
    stores = [opening() for _ in range(4)]
    ready = threading.Barrier(len(stores))

    def ask(store: Store) -> list[Any]:
        answers = []
        for n in range(10):
            ready.wait()
            answers.append(made(store, start(f"i{n}", receipt=Receipt(f"r{n}", "started", 9000))))
        return answers

    with ThreadPoolExecutor(len(stores)) as pool:
        results = list(pool.map(ask, stores))
    for answers in zip(*results, strict=True):
        assert Counter(type(answer) for answer in answers) == {Started: 1, Repeated: len(stores) - 1}


def test_hosts_that_write_to_each_other_do_not_block_each_other(opening: Callable[[], Store]) -> None:
    """Each turn sends to all the others, in an order of its own: the recipe for a deadlock."""
    names = [f"i{n}" for n in range(4)]
    stores = [opening() for _ in names]
    made(stores[0], *(start(name, host=name) for name in names))

    def work(at: int) -> None:
        for n in range(15):
            others = [*names[at + 1 :], *names[:at]]
            now = row(stores[at], names[at])
            made(
                stores[at],
                put(others[-1], f"put-{at}-{n}"),
                turn(now, messages=tuple(message(other, f"{at}-{n}") for other in others)),
                start(f"child-{n}", host=names[at]),
                start(f"own-{at}-{n}", host=names[at]),
            )

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(work, range(len(names))))
    store = stores[0]
    assert [row(store, name).turn for name in names] == [15] * 4
    assert Counter(each.instance_id for each in store.inbox(names)) == dict.fromkeys(names, 15 * 3 + 15)
    assert len(store.rows([f"child-{n}" for n in range(15)])) == 15


def test_a_store_may_be_used_by_many_threads(store: Store) -> None:
    made(store, *(start(f"i{n}") for n in range(8)))

    def work(n: int) -> None:
        for _ in range(10):
            made(store, turn(row(store, f"i{n}")))
            store.load([f"i{n}"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert {each.turn for each in store.rows([f"i{n}" for n in range(8)]).values()} == {10}


def test_two_that_take_the_same_turn(opening: Callable[[], Store]) -> None:
    """A zombie and its successor: of two commits of one turn exactly one is made."""
    stores = [opening(), opening()]
    made(stores[0], start("a"))
    ready = threading.Barrier(2)

    def work(store: Store) -> int:
        won = 0
        for n in range(20):
            write = turn(new("a"), turn=n, old_status="Running" if n else "Pending", first_event=n)
            ready.wait()
            won += type(made(store, write)).__name__ == "TurnCommitted"
            ready.wait()
        return won

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(work, stores)) == 20
    assert stores[0].history("a") == ("turn 0",) * 20
