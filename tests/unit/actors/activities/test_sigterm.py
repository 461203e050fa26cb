"""A process that is told to end: at once, its attempts run elsewhere, and nothing is blamed on user code. Real processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import durable_ray as dr
from durable_ray.actors.activities import sigterm
from durable_ray.actors.activities.dispatcher import MAX_CRASHES
from durable_ray.actors.activities.runner import run_activity
from durable_ray.actors.activities.worker import ActivityWorker
from durable_ray.actors.clock import SECOND
from durable_ray.actors.cluster.ray_actors.ray_task_executor import _ENDS, _run_packed
from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed
from tests.sources import ROOT
from tests.unit.actors.hosting import ToldClock, dispatching, double, invocation, row_of, until
from tests.unit.actors.working import ActivityExecutor, Link, job

#: Each says that it is ready and then waits for ever, unless it is told to end.
PREAMBLE = """
import pickle, sys, threading, time
import durable_ray as dr
from durable_ray.actors.activities import sigterm
from durable_ray.actors.activities.runner import run_activity
from durable_ray.actors.cluster.ray_actors.ray_task_executor import _run_packed
from durable_ray.actors.activities.worker import ActivityWorker
from tests.unit.actors.hosting import invocation, row_of

def ready(): print("ready", flush=True)
"""
TASK = """
@dr.activity(name="g.blocks")
def blocks(value: int) -> int:
    try:
        ready()
        time.sleep(600)
    {clause}
    finally:
        print("left", flush=True)
    return 1

answer = _run_packed(pickle.dumps((row_of(blocks), invocation(blocks), "hub")))
print("answer", answer, flush=True)
time.sleep(600)
"""
ASYNC_TASK = """
import asyncio

@dr.activity(name="g.waits")
async def waits(value: int) -> int:
    async def beside() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            print("beside left", flush=True)

    task = asyncio.create_task(beside())
    await asyncio.sleep(0)
    try:
        ready()
        await asyncio.sleep(600)
    finally:
        print("left", flush=True)
    return 1

answer = _run_packed(pickle.dumps((row_of(waits), invocation(waits), "hub")))
print("answer", answer, flush=True)
time.sleep(600)
"""
SWALLOWS = """
@dr.activity(name="g.swallows")
def swallows(value: int) -> int:
    while True:
        try:
            ready()
            time.sleep(600)
        except BaseException:
            pass

_run_packed(pickle.dumps((row_of(swallows), invocation(swallows), "hub")))
"""
WORKER = """
@dr.activity(name="g.blocks")
def blocks(value: int) -> int:
    time.sleep(600)
    return 1

worker = ActivityWorker("hub", 1, 600)
sigterm.end_after(worker.shut_down)

def collect():
    worker.begin("host", [invocation(blocks)], [row_of(blocks)])
    ready()
    for call in (lambda: worker.collect("host"), lambda: worker.begin("host", [], []), lambda: worker.run("host", [], [])):
        try:
            print("answer", call(), flush=True)
        except sigterm.ProcessEnds as ends:
            print("answer", ends, flush=True)

threading.Thread(target=collect, daemon=True).start()
# The main thread of an actor stands in C++: no handler of Python's is run.
import ctypes
while True:
    ctypes.CDLL(None).pause()
"""
HOST = """
thread = threading.Thread(target=sigterm.end_at_once)
thread.start()
thread.join()
ready()
import ctypes
while True:
    ctypes.PyDLL(None).pause()
"""


@contextmanager
def process(script: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script], env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def told(script: str) -> tuple[int, str]:
    """Tells it to end when it is ready: its exit code, and what it said after that."""
    with process(script) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        said = running.stdout.read()
        return running.wait(60), said


@pytest.mark.parametrize(
    "clause",
    ["", "except SystemExit: pass", "except SystemExit: raise RuntimeError('the stream broke')"],
    ids=["passes it on", "takes it for a reason to return", "raises something else"],
)
def test_an_attempt_in_a_ray_task_has_not_been_made_when_its_process_is_told_to_end(clause: str) -> None:
    code, said = told(TASK.replace("{clause}", clause))
    assert said == f"left\nanswer {_ENDS!r}\n", "its `finally` ran, and its host is told to run it elsewhere"
    assert code == sigterm.EXIT_CODE


def test_a_coroutine_in_a_ray_task_leaves_its_finally_too() -> None:
    code, said = told(ASYNC_TASK)
    *lefts, answer = said.splitlines()
    assert sorted(lefts) == ["beside left", "left"]
    assert (answer, code) == (f"answer {_ENDS!r}", sigterm.EXIT_CODE)


def test_user_code_that_swallows_it_does_not_hold_its_process() -> None:
    code, _ = told(SWALLOWS)
    assert code == sigterm.EXIT_CODE


def test_a_worker_sends_those_who_wait_elsewhere_and_ends() -> None:
    code, said = told(WORKER)
    assert said == 3 * "answer the process was told to end\n"
    assert code == sigterm.EXIT_CODE


def test_a_host_ends_at_once() -> None:
    began = time.monotonic()
    code, said = told(HOST)
    assert (code, said) == (-signal.SIGTERM, "")
    assert time.monotonic() - began < 60


@dr.activity(name="g.exits")
def exits(value: int) -> int:
    sys.exit(3)


def test_an_exit_of_user_code_s_own_is_its_failure() -> None:
    result = run_activity(row_of(exits), invocation(exits))
    assert isinstance(result, ActivityFailed)
    assert (result.failure.error_type, result.failure.message) == ("builtins.SystemExit", "3")
    before = signal.getsignal(signal.SIGTERM)
    try:
        packed = _run_packed(pickle.dumps((row_of(exits), invocation(exits), "hub")))
    finally:
        signal.signal(signal.SIGTERM, before)
        sigterm._installed.release()
    assert isinstance(pickle.loads(packed), ActivityFailed), "in a Ray task, too"


def test_what_had_finished_is_still_handed_over() -> None:
    worker = ActivityWorker("hub", 1, 100)
    found = worker.begin("host", [invocation(double)], [row_of(double)])
    while not worker._by_host["host"].done:
        time.sleep(0.001)
    worker.shut_down()
    ((_, result),) = [*found, *worker.collect("host")]
    assert isinstance(result, ActivityCompleted)
    assert worker.collect("host") == []


def test_a_terminating_worker_is_not_discovered_again() -> None:
    worker = ActivityWorker("hub", 1, 100)
    assert worker.held("host") == []
    worker.shut_down()
    with pytest.raises(sigterm.ProcessEnds):
        worker.held("host")


async def test_a_worker_that_was_told_to_end_is_not_counted_against_what_it_ran() -> None:
    first, second = Link("a"), Link("b")
    made = ActivityExecutor(first, second)
    made.pool.submit([job(1)])
    await until(lambda: first.runs)
    first.die(sigterm.ProcessEnds())
    await until(lambda: second.runs == [[1]])
    assert made.crashes == []


async def test_an_attempt_may_be_sent_elsewhere_more_often_than_its_process_may_die_but_not_for_ever() -> None:
    clock = ToldClock()
    dispatcher, slate, results, _ = dispatching(double, clock=clock)
    dispatcher.submit([invocation(double)])
    for _ in range(2 * MAX_CRASHES):
        slate.crashed(slate.jobs[-1], "its process was told to end", False)
        clock.pass_to(clock.at + 60 * SECOND)
    assert (len(slate.jobs), results) == (1 + 2 * MAX_CRASHES, [])
    while not results and len(slate.jobs) < 100:
        slate.crashed(slate.jobs[-1], "its process was told to end", False)
        clock.pass_to(clock.at + 60 * SECOND)
    assert isinstance(results[0], ActivityFailed)
