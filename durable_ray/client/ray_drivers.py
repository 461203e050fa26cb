"""Drivers of client steps over Ray: a call is an actor call, and its errors are classified.

Whoever is called more than once is asked for its wire, and called over that from then on if it is on this machine: a fifth of
the time. Ray stays the judge of who lives: when the wire breaks, the next call is an actor call again.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from durable_ray.actors.api import ActorApi, HostApi
from durable_ray.actors.cluster.connecting import HubLink
from durable_ray.actors.cluster.handles import REGISTRY, Gone, Unavailable, remote, translated
from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.wire.address import WireAddress, WireBroken
from durable_ray.actors.wire.callers import BlockingWireClient, WireConnection
from durable_ray.client.drive import LoopDriver, PerLoop, drive
from durable_ray.client.steps import Call, Steps, TargetGone, TargetUnavailable

R = TypeVar("R")
W = TypeVar("W", bound="_Wire")

#: Targets that are called over a wire of their own; of more, those not called for long go without.
_MOST_WIRES = 64
#: Targets whose handle is kept; and those that were asked where their wire is and have not been called since.
_MOST_ASKED = 1_000


class _Wire(Protocol):
    def close(self) -> None:
        """Hang up."""


class _Targets(Generic[W]):
    """The actors that are called, and the wires to them."""

    def __init__(self, link: HubLink) -> None:
        self._link = link
        self._handles: OrderedDict[str, Any] = OrderedDict()
        self._wires: OrderedDict[str, W | None] = OrderedDict()

    def handle(self, target: str) -> Any:
        """The actor; looked up once, and again after it has died."""
        handle = self._handles.get(target)
        if handle is None:
            handle = self._handles[target] = self._link.find(target)
            if len(self._handles) > _MOST_ASKED:
                self._handles.popitem(last=False)
        return handle

    def wire(self, target: str) -> W | None:
        """The wire to this target, if it has one."""
        wire = self._wires.get(target)
        if wire is not None:
            with suppress(KeyError):  # another thread has just found it broken, as this one will
                self._wires.move_to_end(target)
        return wire

    def unknown(self, target: str) -> bool:
        """Whether it is not known yet if this target has a wire."""
        return target not in self._wires

    def note(self, target: str, wire: W | None) -> None:
        """What was found out about a target's wire."""
        self._wires[target] = wire
        if len(self._wires) > _MOST_WIRES:
            _hang_up(self._wires.popitem(last=False)[1])

    def broken(self, target: str, wire: W | None = None) -> None:
        """The wire (this one, if it is still in use) serves no more: the process may have been replaced by one with another."""
        if wire is None or self._wires.get(target) is wire:
            wire = self._wires.pop(target, None)
        _hang_up(wire)

    def failed(self, call: Call, error: Exception) -> Exception:
        """What an error of a Ray call means to the steps."""
        meaning = translated(error)
        if isinstance(meaning, Gone):
            self._handles.pop(call.target, None)
            self.broken(call.target)
            if call.target == REGISTRY:
                self._link.recreate_registry()
            return TargetGone(str(meaning))
        if isinstance(meaning, Unavailable):
            return TargetUnavailable(str(meaning))
        return meaning


def _hang_up(wire: _Wire | None) -> None:
    if wire is not None:
        wire.close()


def _packed(call: Call) -> bytes:
    return pickle.dumps((call.method.__name__, call.args, call.kwargs), protocol=5)


class RayDriver:
    """Blocks in the caller's thread."""

    def __init__(self, link: HubLink) -> None:
        self._link = link
        self._targets: _Targets[BlockingWireClient] = _Targets(link)
        #: Answers to come: where the wires of targets are.
        self._asked: OrderedDict[str, Any] = OrderedDict()
        self._awaiting: AsyncRayDriver | None = None
        self._gate = threading.Lock()

    def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""
        return drive(steps, self._make)

    def awaiting(self) -> AsyncRayDriver:
        """A driver of the same hub that is awaited; always the same one."""
        with self._gate:
            if self._awaiting is None:
                self._awaiting = AsyncRayDriver(self._link)
            return self._awaiting

    def _make(self, call: Call) -> Any:
        self._find_wire(call.target)
        wire = self._targets.wire(call.target)
        if wire is not None:
            try:
                return pickle.loads(wire.call(_packed(call), call.seconds))
            except (WireBroken, Unreachable) as broken:
                self._targets.broken(call.target, wire)
                raise TargetUnavailable(str(broken)) from broken
        try:
            handle = self._targets.handle(call.target)
            answer = pickle.loads(self._link.get(remote(handle, ActorApi.packed, _packed(call)), call.seconds))
            if call.target not in self._asked and self._targets.unknown(call.target):
                self._ask_for_wire(call.target, handle)
            return answer
        except Exception as error:
            meaning = self._targets.failed(call, error)
            raise meaning from (None if meaning is error else error)

    def _ask_for_wire(self, target: str, handle: Any) -> None:
        self._asked[target] = remote(handle, ActorApi.wire)
        if len(self._asked) > _MOST_ASKED:
            # Most targets of a client that starts many dedicated instances are called once.
            self._asked.popitem(last=False)

    def _find_wire(self, target: str) -> None:
        ref = self._asked.get(target)
        if ref is None or not self._link.here(ref):
            return
        self._asked.pop(target, None)
        try:
            address: WireAddress | None = self._link.get(ref, 1.0)
        except Exception:
            return  # it has just died; its successor is asked anew
        self._targets.note(target, None if address is None else BlockingWireClient.reaching(address))


class AsyncRayDriver:
    """Awaits on the caller's event loop. What is asked for in one step of it goes together."""

    def __init__(self, link: HubLink) -> None:
        self._link = link
        self._loops = PerLoop(self._on_this_loop)
        self._blocking: RayDriver | None = None
        self._gate = threading.Lock()

    async def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""
        return await self._loops.get().run(steps)

    def blocking(self) -> RayDriver:
        """A driver of the same hub that blocks; always the same one."""
        with self._gate:
            if self._blocking is None:
                self._blocking = RayDriver(self._link)
            return self._blocking

    def _on_this_loop(self) -> LoopDriver:
        lines = _Lines(self._link)  # belong to their loop, and end with it
        return LoopDriver(lines.make, lambda target: not lines.wired(target))


class _Queue:
    """Calls to one target that wait for their turn."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.length = 0


class _Lines:
    """The calls made on one event loop."""

    def __init__(self, link: HubLink) -> None:
        self._targets: _Targets[WireConnection] = _Targets(link)
        #: Where calls whose order matters go through Ray, one after the other: an async actor begins calls in any order,
        #: and none may be overtaken over a wire that is found meanwhile.
        self._queues: dict[str, _Queue] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}

    def wired(self, target: str) -> bool:
        """Whether calls of this target may follow each other unanswered."""
        return self._targets.wire(target) is not None

    async def make(self, call: Call) -> Any:
        """Make a call."""
        target = call.target
        wire = self._targets.wire(target)
        try:
            if wire is not None and (call.method is HostApi.wait or target not in self._queues):
                return pickle.loads(await asyncio.wait_for(wire.call(_packed(call)), call.seconds))
            if call.method is HostApi.wait:
                return await self._through_ray(call)
            return await self._in_turn(call)
        except (WireBroken, Unreachable) as broken:
            self._targets.broken(target, wire)
            raise TargetUnavailable(str(broken)) from broken
        except TimeoutError as late:
            # Busy, or gone though a child it forked keeps its end of the line open: Ray knows.
            if wire is not None:
                self._targets.broken(target, wire)
            raise TargetUnavailable(f"{target} did not answer {call.method.__name__}") from late

    async def _in_turn(self, call: Call) -> Any:
        queue = self._queues.setdefault(call.target, _Queue())
        queue.length += 1
        try:
            async with queue.turn:
                wire = self._targets.wire(call.target)
                if wire is None:
                    return await self._through_ray(call)
                answer = wire.call(_packed(call))  # sent: what comes next comes after it
        finally:
            queue.length -= 1
            if not queue.length:
                self._queues.pop(call.target, None)
        return pickle.loads(await asyncio.wait_for(answer, call.seconds))

    async def _through_ray(self, call: Call) -> Any:
        target = call.target
        try:
            handle = self._targets.handle(target)
            answer = pickle.loads(await asyncio.wait_for(remote(handle, ActorApi.packed, _packed(call)), call.seconds))
        except TimeoutError:
            raise
        except Exception as error:
            meaning = self._targets.failed(call, error)
            raise meaning from (None if meaning is error else error)
        if target not in self._dialling and self._targets.unknown(target):
            self._dialling[target] = asyncio.get_running_loop().create_task(self._dial(target, handle))
        return answer

    async def _dial(self, target: str, handle: Any) -> None:
        try:
            address = await remote(handle, ActorApi.wire)
            self._targets.note(target, None if address is None else await WireConnection.dial(address))
        except WireBroken:
            self._targets.note(target, None)
        except Exception:
            pass  # it has just died; its successor is asked anew
        finally:
            self._dialling.pop(target, None)
