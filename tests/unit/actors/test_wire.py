"""Contract of the wire: bytes for bytes between two processes, to nobody without key, proof and the same user; a line that
breaks says so to every call under way, and an answer that comes too late is nobody's.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from durable_ray.actors.errors import InstanceNotFound
from durable_ray.actors.wire.address import KEY, WireAddress, WireBroken, dialled, listening
from durable_ray.actors.wire.callers import BlockingWireClient, WireConnection, reached
from durable_ray.actors.wire.frames import ANSWER, ASK, Frames, error_frame, error_of, frame
from durable_ray.actors.wire.listeners import LoopListener, ThreadListener, _Line

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


def threaded(answer: Callable[[bytes], bytes]) -> WireAddress:
    address = ThreadListener(answer).open()
    assert address is not None
    return address


OnLoop = Callable[[Callable[[bytes], Any]], AbstractContextManager[WireAddress]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> OnLoop:
    """A listener on an event loop in a thread of its own: Python's loop, and the one on which actors run."""

    @contextmanager
    def running(answer: Callable[[bytes], Any]) -> Iterator[WireAddress]:
        loop = request.param()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        listener = LoopListener(answer)
        address = asyncio.run_coroutine_threadsafe(listener.open(), loop).result(10)
        assert address is not None
        try:
            yield address
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            if not thread.is_alive():
                loop.close()

    return running


def twice(body: bytes) -> bytes:
    return body + body


async def twice_in_time(body: bytes) -> bytes:
    await asyncio.sleep(0)
    return body + body


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 64))
def test_messages_come_out_as_they_went_in_however_the_stream_is_cut(bodies: list[bytes], size: int) -> None:
    stream = b"".join(frame(number, ASK, body) for number, body in enumerate(bodies))
    frames = Frames()
    found = [one for at in range(0, len(stream), size) for one in frames.feed(stream[at : at + size])]
    assert found == [(number, ASK, body) for number, body in enumerate(bodies)]


def test_an_error_arrives_as_itself_and_one_that_cannot_as_its_text() -> None:
    class Local(Exception):
        """Cannot be pickled."""

    ((_, _, body),) = Frames().feed(error_frame(1, InstanceNotFound("a-1")))
    assert isinstance(error_of(body), InstanceNotFound)
    ((_, _, body),) = Frames().feed(error_frame(1, Local("what")))
    assert str(error_of(body)) == "Local: what"


def test_threads_that_call_at_once_hear_each_its_own_answer(on_loop: OnLoop) -> None:
    with on_loop(twice_in_time) as address:
        caller = BlockingWireClient(address)
        with ThreadPoolExecutor(16) as threads:
            asked = [str(n).encode() for n in range(400)]
            assert list(threads.map(lambda body: caller.call(body, 10), asked)) == [body * 2 for body in asked]
        caller.close()


def test_big_answers_and_questions_come_whole(on_loop: OnLoop) -> None:
    big = os.urandom(5_000_000)
    assert BlockingWireClient(threaded(twice)).call(big, 30) == big + big
    with on_loop(twice_in_time) as address:

        async def ask() -> bytes:
            line = await WireConnection.dial(address)
            answer = await line.call(big)
            line.close()
            return answer

        assert asyncio.run(ask()) == big + big


def test_the_other_end_raises_here() -> None:
    def answer(body: bytes) -> bytes:
        raise InstanceNotFound(body.decode())

    caller = BlockingWireClient(threaded(answer))
    with pytest.raises(InstanceNotFound, match="x-1"):
        caller.call(b"x-1", 10)


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one() -> None:
    gate = threading.Event()

    def answer(body: bytes) -> bytes:
        if body == b"slow":
            gate.wait(10)
        return body

    caller = BlockingWireClient(threaded(answer))
    with pytest.raises(WireBroken):
        caller.call(b"slow", 0.05)
    gate.set()
    assert caller.call(b"quick", 10) == b"quick"


def test_calls_of_one_line_are_heard_in_the_order_they_were_made(on_loop: OnLoop) -> None:
    heard: list[int] = []

    async def answer(body: bytes) -> bytes:
        heard.append(int(body))
        return body

    async def ask(address: WireAddress) -> None:
        line = await WireConnection.dial(address)
        await asyncio.gather(*[line.call(str(n).encode()) for n in range(3_000)])
        line.close()

    with on_loop(answer) as address:
        asyncio.run(ask(address))
    assert heard == list(range(3_000))


def test_who_asks_without_listening_is_not_heard_for_ever(on_loop: OnLoop) -> None:
    """Neither the calls under way nor the answers that nobody fetches grow without bound."""
    under_way = 0
    most = 0

    async def answer(body: bytes) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return bytes(10_000)

    with on_loop(answer) as address:
        line = dialled(address, 10)
        line.settimeout(0.5)
        flood = frame(1, ASK, bytes(1_000)) * 100_000
        with pytest.raises(TimeoutError):
            line.sendall(flood)
        line.close()
    assert 0 < most < 2_000


@pytest.mark.parametrize("of_a_loop", [True, False])
def test_who_has_no_key_is_not_answered(of_a_loop: bool, on_loop: OnLoop) -> None:
    called: list[bytes] = []

    def note(body: bytes) -> bytes:
        called.append(body)
        return body

    async def note_in_time(body: bytes) -> bytes:
        return note(body)

    with on_loop(note_in_time) as looped:
        address = looped if of_a_loop else threaded(note)
        with pytest.raises(WireBroken):
            dialled(WireAddress(address.name, bytes(KEY), address.proof), 5)
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.connect("\0" + address.name)
        line.settimeout(5)
        try:
            line.sendall(bytes(KEY) + frame(0, ASK, b"do it"))
            assert line.recv(1) == b""
        except ConnectionError:
            pass  # hung up even sooner
        line.close()
    assert called == []


@contextmanager
def impersonated() -> Iterator[WireAddress]:
    """An address at which somebody listens who has no proof."""
    made = listening()
    assert made is not None
    listener, address = made

    def impostor() -> None:
        line, _ = listener.accept()
        line.recv(KEY)
        line.sendall(bytes(KEY) + frame(0, ANSWER, pickle.dumps("evil")))

    threading.Thread(target=impostor, daemon=True).start()
    yield address
    listener.close()


def test_who_cannot_prove_to_be_the_listener_is_not_believed() -> None:
    with impersonated() as address, pytest.raises(WireBroken, match="somebody else"):
        BlockingWireClient(address).call(b"?", 5)


def _as_nobody(address: WireAddress, told: Any) -> None:
    os.setuid(65534)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(5)
    try:
        line.connect("\0" + address.name)
        line.sendall(address.key + frame(0, ASK, b"do it"))
        told.put(len(line.recv(1)))
    except ConnectionError:
        told.put(0)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("of_a_loop", [True, False])
def test_another_user_is_not_answered_even_with_the_key(of_a_loop: bool, on_loop: OnLoop) -> None:
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    with on_loop(twice_in_time) as looped:
        process = context.Process(target=_as_nobody, args=(looped if of_a_loop else threaded(twice), told))
        process.start()
        assert told.get(timeout=20) == 0
        process.join(10)


def _serve_until_killed(told: Any) -> None:
    def never(body: bytes) -> bytes:
        time.sleep(60)
        return body

    told.put(threaded(never))
    time.sleep(60)


def test_kill_9_of_the_other_end_breaks_every_call_under_way() -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=_serve_until_killed, args=(told,))
    process.start()
    address: WireAddress = told.get(timeout=60)
    assert process.pid is not None
    threading.Timer(0.3, os.kill, (process.pid, signal.SIGKILL)).start()

    async def ask() -> list[Any]:
        lines = [await WireConnection.dial(address) for _ in range(3)]
        return await asyncio.gather(*[line.call(b"?") for line in lines], return_exceptions=True)

    answers = asyncio.run(ask())
    assert [type(answer) for answer in answers] == [WireBroken] * 3
    with pytest.raises(WireBroken):
        BlockingWireClient(address).call(b"?", 5)
    process.join(10)


def test_where_nobody_listens_there_are_no_lines() -> None:
    absent = WireAddress("durable-ray-nobody-listens-here", bytes(KEY), bytes(KEY))
    assert asyncio.run(reached(absent)) is None
    assert asyncio.run(reached(None)) is None
    assert BlockingWireClient.reaching(absent) is None


def test_an_address_does_not_show_its_keys() -> None:
    made = listening()
    assert made is not None
    made[0].close()
    assert repr(made[1]) == f"WireAddress(name={made[1].name!r})"


def test_a_line_of_a_loop_that_ended_makes_no_noise(recwarn: pytest.WarningsRecorder, on_loop: OnLoop) -> None:
    async def ask(address: WireAddress) -> bytes:
        return await (await WireConnection.dial(address)).call(b"a")

    with on_loop(twice_in_time) as address:
        for _ in range(3):
            assert asyncio.run(ask(address)) == b"aa"
    gc.collect()
    # What the test's own listener left open has the address as its own, not as the other end's.
    assert [w for w in map(str, recwarn) if "unclosed <socket" in w and "raddr" in w] == []


def test_nor_does_its_transport(recwarn: pytest.WarningsRecorder) -> None:
    """With a listener that has no transports, so that all are the caller's."""
    gc.collect()  # those of other tests
    recwarn.clear()
    address = threaded(twice)

    async def ask() -> bytes:
        return await (await WireConnection.dial(address)).call(b"a")

    for _ in range(3):
        assert asyncio.run(ask()) == b"aa"
    gc.collect()
    assert [w for w in map(str, recwarn) if "unclosed transport" in w and "_SelectorSocketTransport" in w] == []


def test_a_line_that_is_closed_lets_its_calls_come_to_their_end(on_loop: OnLoop) -> None:
    """A client closes the line to whom it calls least: somebody may still be waiting there."""

    async def ask(address: WireAddress) -> tuple[bytes, bool]:
        line = await WireConnection.dial(address)
        under_way = line.call(b"a")
        line.close()
        with pytest.raises(WireBroken):
            await line.call(b"b")
        return await under_way, line.broken

    with on_loop(twice_in_time) as address:
        assert asyncio.run(ask(address)) == (b"aa", True)


def _call_in_fork(caller: BlockingWireClient, told: Any) -> None:
    told.put([caller.call(b"child", 10) for _ in range(200)])


def test_a_fork_does_not_hear_what_its_parent_asked(on_loop: OnLoop) -> None:
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    with on_loop(twice_in_time) as address:
        caller = BlockingWireClient(address)
        caller.call(b"before", 10)
        process = context.Process(target=_call_in_fork, args=(caller, told))
        process.start()
        assert [caller.call(b"parent", 10) for _ in range(200)] == [b"parentparent"] * 200
        process.join(20)
        assert process.exitcode == 0
        assert told.get() == [b"childchild"] * 200


def test_an_error_whose_class_is_not_known_here_is_told_all_the_same() -> None:
    body = b"cnowhere_to_be_found\nError\n."
    assert "nowhere_to_be_found" in str(error_of(body))


def test_where_no_socket_can_be_had_there_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(socket, "socket", full)
    assert listening() is None


async def test_an_event_loop_with_transports_of_its_own_kind_listens_too() -> None:
    """As uvloop's, which Ray takes where it is installed: they are no `asyncio.Transport`, nor is the socket they show one."""

    class Shown:
        def __init__(self, line: socket.socket) -> None:
            self.fileno = line.fileno

    class Transport:
        def __init__(self, line: socket.socket) -> None:
            self._line = line
            self.written = b""

        def get_extra_info(self, name: str) -> Any:
            return Shown(self._line)

        def write(self, data: bytes) -> None:
            self.written += data

        def is_closing(self) -> bool:
            return False

        def resume_reading(self) -> None:
            pass

    address = WireAddress("a", bytes(KEY), b"p" * KEY)
    here, there = socket.socketpair()
    with here, there:
        transport: Any = Transport(here)
        line = _Line(asyncio.get_running_loop(), address, twice_in_time)
        line.connection_made(transport)
        line.data_received(address.key + frame(0, ASK, b"a"))
        while len(transport.written) == KEY:
            await asyncio.sleep(0)
        assert transport.written == address.proof + frame(0, ANSWER, b"aa")
        assert here.fileno() != -1


def test_a_loop_that_ends_does_not_wait_for_a_listener_that_is_busy() -> None:
    made = listening()
    assert made is not None

    async def ask() -> None:
        dialling = asyncio.ensure_future(WireConnection.dial(made[1]))
        await asyncio.sleep(0.01)
        assert not dialling.done()

    began = time.monotonic()
    asyncio.run(ask())
    made[0].close()
    assert time.monotonic() - began < 5


def test_who_cannot_prove_to_be_the_listener_is_not_believed_by_a_loop_either() -> None:
    with impersonated() as address, pytest.raises(WireBroken, match="somebody else"):
        asyncio.run(WireConnection.dial(address))
