"""Request coalescing: calls made in one step of the event loop are sent as one: 500 awaited starts cost one Ray call.

No call is delayed for others: whatever is there when the loop has run its callbacks is sent. Requests that come as lists are
joined in the order in which they were made; those that are made again go apart, for what held them up the first time may
hold them up still. Where calls are made one after the other, those that come during one share the next. Waits of one host
share a call that answers as soon as some have ended; those that have not are asked for again, together with those that came
meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from durable_ray.actors.api import HostApi
from durable_ray.actors.messages import Ending
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.steps import Call

Send = Callable[[Call], Awaitable[Any]]
#: What is joined: target, method, and whether it is asked again.
_List = tuple[str, Callable[..., Any], bool]

#: Methods whose only argument is a list of requests, answered one for one.
_LISTS = frozenset({HostApi.start_many, HostApi.deliver_many})
#: Requests in one call at most.
_MOST = 500
#: Seconds of a shared wait, and how much longer its answer may take.
_SLICE, _SLACK = 9.0, 20.0


class Coalescer:
    """Joins calls made on one event loop. `send` makes one; calls to targets `in_turn` are made one by one."""

    def __init__(self, send: Send, in_turn: Callable[[str], bool] = lambda _: False) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._in_turn = in_turn
        #: Joined calls that are not answered yet.
        self._under_way: Counter[_List] = Counter()
        self._lists: dict[_List, list[tuple[Call, asyncio.Future[Any]]]] = {}
        self._watches: dict[tuple[str, bool], _Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._shared: dict[tuple[Any, ...], asyncio.Future[Any]] = {}

    async def make(self, call: Call) -> Any:
        """Make a call, perhaps together with others; answers (or raises) what it alone would have."""
        if call.method in _LISTS:
            return await self._add(call)
        if call.method is HostApi.wait and len(call.args[0]) == 1 and not call.kwargs.get("all_of_them"):
            return await self._wait(call)
        if call.method is Registry.register:
            return await self._share(call)
        return await self._send(call)

    async def _share(self, call: Call) -> Any:
        """A call whose argument equals that of another call under way: one is made."""
        key = tuple(call.args[0])
        answer = self._shared.get(key)
        if answer is None:
            answer = self._shared[key] = asyncio.ensure_future(self._send(call))
            answer.add_done_callback(lambda _: self._shared.pop(key, None))
        return await asyncio.shield(answer)

    def _add(self, call: Call) -> asyncio.Future[Any]:
        """A request of a list."""
        again = any(getattr(request, "retry", False) for request in call.args[0])
        key = (call.target, call.method, again)
        waiting = self._lists.get(key)
        if waiting is None:
            waiting = self._lists[key] = []
            self._loop.call_soon(self._flush, key)
        answer: asyncio.Future[Any] = self._loop.create_future()
        waiting.append((call, answer))
        return answer

    async def _wait(self, call: Call) -> list[Ending]:
        """A wait for one instance."""
        key = (call.target, bool(call.kwargs.get("start")))
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch(self._loop, self._send, self._keep, self._watches.pop, *key)
        return await watch.ending(call.args[0][0], call.args[1])

    def _keep(self, work: Any) -> None:
        """Run a coroutine to its end."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _flush(self, key: _List) -> None:
        if key not in self._lists:
            return  # they have gone with the answer to those before them
        if self._under_way[key] and self._in_turn(key[0]):
            return  # they go when it is answered
        group: list[tuple[Call, asyncio.Future[Any]]] = []
        size = 0
        for call, answer in self._lists.pop(key):
            if group and size + len(call.args[0]) > _MOST:
                self._send_soon(key, group)
                group, size = [], 0
            group.append((call, answer))
            size += len(call.args[0])
        self._send_soon(key, group)

    def _send_soon(self, key: _List, group: Sequence[tuple[Call, asyncio.Future[Any]]]) -> None:
        self._under_way[key] += 1
        self._keep(self._send_joined(key, group))

    async def _send_joined(self, key: _List, group: Sequence[tuple[Call, asyncio.Future[Any]]]) -> None:
        try:
            await self._ask(group)
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
                if key in self._lists:
                    self._flush(key)

    async def _ask(self, group: Sequence[tuple[Call, asyncio.Future[Any]]]) -> None:
        first = group[0][0]
        requests = [request for call, _ in group for request in call.args[0]]
        seconds = max(call.seconds for call, _ in group)
        try:
            answers = await self._send(Call(first.target, first.method, (requests,), seconds=seconds))
        except Exception as error:
            _fail([answer for _, answer in group], error)
            return
        at = 0
        for call, answer in group:
            many = len(call.args[0])
            if not answer.done():
                answer.set_result(answers[at : at + many])
            at += many


class _Watch:
    """Those whose end (or beginning) at one host is waited for."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Send,
        keep: Callable[[Any], None],
        over: Callable[[tuple[str, bool]], Any],
        target: str,
        start: bool,
    ) -> None:
        self._loop = loop
        self._send = send
        self._keep = keep
        #: Called when there are no waiters left: most hosts of one instance are waited for once.
        self._over = over
        self._polls = 0
        self._target = target
        self._start = start
        self._waiting: dict[str, set[asyncio.Future[list[Ending]]]] = {}
        #: Waited for, and in no call that is under way.
        self._unasked: dict[str, None] = {}

    async def ending(self, instance_id: str, seconds: float) -> list[Ending]:
        """How it ended; empty if it has not after `seconds`."""
        answer: asyncio.Future[list[Ending]] = self._loop.create_future()
        waiting = self._waiting.get(instance_id)
        if waiting is None:
            waiting = self._waiting[instance_id] = set()
            self._ask(instance_id)
        waiting.add(answer)
        timer = self._loop.call_later(seconds, self._give_up, answer)
        try:
            return await answer
        finally:
            timer.cancel()
            waiting.discard(answer)

    @staticmethod
    def _give_up(answer: asyncio.Future[list[Ending]]) -> None:
        if not answer.done():
            answer.set_result([])

    def _ask(self, instance_id: str) -> None:
        if not self._unasked:
            self._loop.call_soon(self._flush)
        self._unasked[instance_id] = None

    def _flush(self) -> None:
        wanted, self._unasked = list(self._unasked), {}
        for at in range(0, len(wanted), _MOST):
            self._keep(self._poll(wanted[at : at + _MOST]))

    async def _poll(self, wanted: list[str]) -> None:
        self._polls += 1
        try:
            await self._poll_once(wanted)
        finally:
            self._polls -= 1
            if not (self._polls or self._waiting or self._unasked):
                self._over((self._target, self._start))

    async def _poll_once(self, wanted: list[str]) -> None:
        kwargs = {"start": True} if self._start else {}
        call = Call(self._target, HostApi.wait, (wanted, _SLICE), kwargs, _SLICE + _SLACK)
        try:
            endings = await self._send(call)
        except Exception as error:
            for instance_id in wanted:
                _fail(self._waiting.pop(instance_id, ()), error)
            return
        for ending in endings:
            for answer in self._waiting.pop(ending.instance_id, ()):
                if not answer.done():
                    answer.set_result([ending])
        for instance_id in wanted:
            if self._waiting.get(instance_id):
                self._ask(instance_id)
            else:
                self._waiting.pop(instance_id, None)


def _fail(answers: Any, error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
