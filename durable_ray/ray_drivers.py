"""Client steps driven over Ray: a call is an actor call, its errors are told apart."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any, TypeVar

from durable_ray.actors.connecting import HubLink
from durable_ray.actors.handles import PACKED, REGISTRY, Gone, Unavailable, translated
from durable_ray.coalescing import Coalescer
from durable_ray.drive import drive, drive_async
from durable_ray.steps import Call, Steps, TargetGone, TargetUnavailable

R = TypeVar("R")


def _meaning(error: Exception) -> Exception:
    meaning = translated(error)
    if isinstance(meaning, Gone):
        return TargetGone(str(meaning))
    if isinstance(meaning, Unavailable):
        return TargetUnavailable(str(meaning))
    return meaning


class _Caller:
    """Makes Ray calls. A handle is looked up once and again after its actor has died."""

    def __init__(self, link: HubLink) -> None:
        self._link = link
        self._handles: dict[str, Any] = {}

    def send(self, call: Call) -> Any:
        """Make the call; the reference of its answer."""
        handle = self._handles.get(call.target)
        if handle is None:
            handle = self._handles[call.target] = self._link.find(call.target)
        if call.target == REGISTRY:
            return handle.ask.remote(call.method, call.args, call.kwargs)
        if call.method in PACKED:
            return handle.packed.remote(pickle.dumps((call.method, call.args, call.kwargs), protocol=5))
        return getattr(handle, call.method).remote(*call.args, **call.kwargs)

    @staticmethod
    def answer(call: Call, answer: Any) -> Any:
        """The answer, if it came packed unpacked."""
        return pickle.loads(answer) if call.method in PACKED and call.target != REGISTRY else answer

    def failed(self, call: Call, error: Exception) -> Exception:
        """What an error of the call means to the steps."""
        meaning = _meaning(error)
        if isinstance(meaning, TargetGone):
            self._handles.pop(call.target, None)
            if call.target == REGISTRY:
                self._link.revive()
        return meaning


class RayDriver:
    """Blocks in the caller's thread."""

    def __init__(self, link: HubLink) -> None:
        self._link = link
        self._caller = _Caller(link)

    def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""
        return drive(steps, self._make)

    def _make(self, call: Call) -> Any:
        try:
            return self._caller.answer(call, self._link.get(self._caller.send(call), call.seconds))
        except Exception as error:
            meaning = self._caller.failed(call, error)
            raise meaning from (None if meaning is error else error)


class AsyncRayDriver:
    """Awaits on the caller's event loop. What is asked for in one step of it goes together."""

    def __init__(self, link: HubLink) -> None:
        self._caller = _Caller(link)
        self._coalescer = Coalescer(self._make)

    async def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""
        return await drive_async(steps, self._coalescer.make)

    async def _make(self, call: Call) -> Any:
        try:
            return self._caller.answer(call, await asyncio.wait_for(self._caller.send(call), call.seconds))
        except TimeoutError as late:
            raise TargetUnavailable(f"{call.target} did not answer {call.method}") from late
        except Exception as error:
            meaning = self._caller.failed(call, error)
            raise meaning from (None if meaning is error else error)
