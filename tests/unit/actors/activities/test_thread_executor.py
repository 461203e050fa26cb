"""Activities on threads: results on the loop, a flag for those that are cancelled, nothing heard after the close."""

from __future__ import annotations

import asyncio
import threading

import durable_ray as dr
from durable_ray.actors.activities.dispatcher import Job
from durable_ray.actors.activities.ports import ActivityResult, Address
from durable_ray.actors.activities.thread_executor import _THREADS, ThreadExecutor
from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed
from tests.unit.actors.hosting import double, invocation, new_library, until


@dr.activity(name="unit.fails")
def fails(value: int) -> int:
    raise KeyError(value)


@dr.activity(name="unit.patient")
def patient(context: dr.ActivityContext, value: int) -> bool:
    import time

    while not context.cancel_requested:
        time.sleep(0.001)
    return True


class Unspeakable(Exception):
    @property
    def non_retryable(self) -> bool:
        raise KeyError


@dr.activity(name="unit.unspeakable")
def unspeakable(value: int) -> int:
    raise Unspeakable


LIBRARY = new_library(double, fails, patient, unspeakable)


def way() -> tuple[ThreadExecutor, dict[Address, ActivityResult], list[threading.Thread]]:
    results: dict[Address, ActivityResult] = {}
    threads: list[threading.Thread] = []

    def told(address: Address, result: ActivityResult) -> None:
        results[address] = result
        threads.append(threading.current_thread())

    return ThreadExecutor(told, lambda job, why: None), results, threads


def job(definition: object, number: int = 1) -> Job:
    known = LIBRARY.known_activity(definition.name)  # type: ignore[attr-defined]
    assert known is not None
    asked = invocation(definition, number)
    return Job(asked, LIBRARY.packed("activity", asked.name, asked.code_id), known)


async def test_results_arrive_on_the_loop() -> None:
    one, results, threads = way()
    one.submit([job(double, n) for n in range(20)])
    await until(lambda: len(results) == 20)
    assert set(threads) == {threading.current_thread()}
    assert all(isinstance(result, ActivityCompleted) and result.result == "42" for result in results.values())
    await one.close()


async def test_an_error_is_an_answer() -> None:
    one, results, _ = way()
    one.submit([job(fails)])
    await until(lambda: results)
    (result,) = results.values()
    assert isinstance(result, ActivityFailed)
    assert result.failure.error_type == "builtins.KeyError"
    await one.close()


async def test_an_error_that_cannot_be_asked_about_itself_is_an_answer_too() -> None:
    one, results, _ = way()
    one.submit([job(unspeakable, n) for n in range(_THREADS + 1)])
    await until(lambda: len(results) == _THREADS + 1)
    assert all(isinstance(result, ActivityFailed) for result in results.values())
    await one.close()


async def test_nothing_is_begun_after_its_end() -> None:
    one, results, _ = way()
    await one.close()
    one.submit([job(double)])
    assert (results, one._started) == ({}, 0)


async def test_one_that_is_cancelled_sees_its_flag_and_is_not_heard_of() -> None:
    one, results, _ = way()
    one.submit([job(patient), job(double, 2)])
    one.cancel(invocation(patient).address)
    await until(lambda: results and not one._under_way)  # it has returned
    assert list(results) == [invocation(double, 2).address]
    await one.close()


async def test_closing_raises_every_flag() -> None:
    one, _, _ = way()
    one.submit([job(patient)])
    await one.close()
    await until(lambda: not one._under_way)


async def test_what_waits_for_a_thread_when_it_closes_never_begins() -> None:
    others = set(threading.enumerate())
    one, results, _ = way()
    one.submit([job(patient, n) for n in range(_THREADS)])
    late = job(double, _THREADS)
    one.submit([late])
    await until(lambda: one._jobs.qsize() == 1)  # each thread has its own
    threads = set(threading.enumerate()) - others
    await one.close()
    await until(lambda: not any(thread.is_alive() for thread in threads))
    await asyncio.sleep(0)  # what they said is heard
    assert results
    assert late.invocation.address not in results


async def test_its_threads_end_with_it() -> None:
    others = set(threading.enumerate())
    one, results, _ = way()
    one.submit([job(double, n) for n in range(3)])
    await until(lambda: len(results) == 3)
    threads = set(threading.enumerate()) - others
    await one.close()
    assert threads
    await until(lambda: not any(thread.is_alive() for thread in threads))
