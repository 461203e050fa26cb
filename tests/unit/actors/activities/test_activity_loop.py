"""Async activities of a process share one event loop as long as it lives: what one attempt makes there, the next finds."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.activities.ports import ActivityResult
from durable_ray.actors.activities.runner import run_activity
from durable_ray.actors.activities.worker import ActivityWorker
from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed
from tests.unit.actors.hosting import invocation, row_of

#: How an attempt is run -> its result.
Run = Callable[[Any, int], ActivityResult]


def in_main_thread(definition: Any, task_id: int) -> ActivityResult:
    """As a Ray task does."""
    return run_activity(row_of(definition), invocation(definition, task_id))


def in_a_thread_of_its_own(definition: Any, task_id: int) -> ActivityResult:
    """As a host does (`local=True`), every time in another one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(in_main_thread, definition, task_id).result()


def on_a_worker(definition: Any, task_id: int) -> ActivityResult:
    """As the hub's workers do, and detached actors."""
    worker = ActivityWorker("hub", 2, 100)
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(worker.run, "host", [invocation(definition, task_id)], [row_of(definition)])
        ((_, result),) = call.result()
    return result


RUNS = pytest.mark.parametrize("run", [in_main_thread, in_a_thread_of_its_own, on_a_worker])


class Connection:
    """What a module makes once: here a line to a server."""

    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None


@pytest.fixture
def port() -> Iterator[int]:
    """A server that answers each line with the same line."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                while data := line.recv(100):
                    line.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    if Connection.streams is not None:
        # The transport belongs to another thread's loop, which would not notice an `abort` from here.
        Connection.streams[1].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        Connection.streams = None
    thread.join(10)


def code(result: ActivityResult) -> str | None:
    assert isinstance(result, ActivityCompleted), result
    return result.result


@RUNS
def test_a_client_made_in_one_attempt_works_in_the_next(run: Run, port: int) -> None:
    async def ask(value: int) -> str:
        made = sys.modules[__name__].Connection
        if made.streams is None:
            made.streams = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = made.streams
        writer.write(f"{value}\n".encode())
        async with asyncio.timeout(20):
            return (await reader.readline()).decode().strip()

    activity = dr.activity(name="loop.ask")(ask)
    assert [code(run(activity, number)) for number in range(3)] == ['"21"'] * 3


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody's")


@RUNS
def test_a_context_variable_is_its_attempt_s_own(run: Run) -> None:
    async def sets(value: int) -> str:
        mine = sys.modules[__name__].variable
        before = mine.get()
        mine.set(f"of {value}")
        await asyncio.sleep(0)
        return f"{before}, {mine.get()}"

    activity = dr.activity(name="loop.sets")(sets)
    assert [code(run(activity, number)) for number in range(2)] == ['"nobody\'s, of 21"'] * 2


def test_a_coroutine_sees_the_context_of_whoever_made_it() -> None:
    def wrapped(value: int) -> Any:
        mine = sys.modules[__name__].variable

        async def reads() -> str:
            return str(mine.get())

        mine.set("the wrapper's")
        return reads()

    activity = dr.activity(name="loop.wrapped")(wrapped)
    assert code(in_a_thread_of_its_own(activity, 1)) == '"the wrapper\'s"'


@RUNS
@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_whatever_a_coroutine_raises_is_its_attempt_s_failure_and_the_loop_goes_on(
    run: Run, end: type[BaseException]
) -> None:
    async def raises(value: int) -> None:
        raise end("enough")

    async def of_a_task(value: int) -> None:
        await asyncio.create_task(raises(value))

    async def goes_on(value: int) -> int:
        await asyncio.sleep(0.001)
        return value

    for ending in (raises, of_a_task):
        result = run(dr.activity(name=f"loop.{ending.__name__}")(ending), 1)
        assert isinstance(result, ActivityFailed)
        assert result.failure.is_caused_by(end)
        assert code(run(dr.activity(name="loop.goes_on")(goes_on), 2)) == "21"


@RUNS
def test_a_timeout_of_its_own_is_a_timeout(run: Run) -> None:
    async def late(value: int) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(600)

    result = run(dr.activity(name="loop.late")(late), 1)
    assert isinstance(result, ActivityFailed)
    assert result.failure.is_caused_by(TimeoutError)


#: Events of the loop that attempts share.
events: dict[str, asyncio.Event] = {}


def test_attempts_of_a_process_run_beside_each_other_in_one_loop() -> None:
    async def meets(value: int, theirs: str, mine: str) -> int:
        shared = sys.modules[__name__].events
        shared.setdefault(theirs, asyncio.Event()).set()
        async with asyncio.timeout(20):
            await shared.setdefault(mine, asyncio.Event()).wait()
        return value

    def first(value: int) -> Any:
        return meets(1, "second", "first")

    def second(value: int) -> Any:
        return meets(2, "first", "second")

    events.clear()
    with ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(run_activity, row_of(made), invocation(made))
            for made in (dr.activity(name="loop.first")(first), dr.activity(name="loop.second")(second))
        ]
        assert [code(call.result()) for call in calls] == ["1", "2"]


def test_what_a_coroutine_hands_to_threads_is_not_held_up_by_others() -> None:
    """Each attempt used to have an executor of its own; asyncio's own default has six threads on two cores."""

    async def waits(value: int) -> int:
        barrier = sys.modules[__name__].barrier
        await asyncio.to_thread(barrier.wait, 30)
        return value

    activity = dr.activity(name="loop.waits")(waits)
    row = row_of(activity)
    with ThreadPoolExecutor(barrier.parties) as threads:
        calls = [threads.submit(run_activity, row, invocation(activity, n)) for n in range(barrier.parties)]
        assert {code(call.result()) for call in calls} == {"21"}


barrier = threading.Barrier(40)
