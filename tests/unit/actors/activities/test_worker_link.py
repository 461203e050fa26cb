"""Contract of a host's link to a worker: over the wire where there is one, and no line is left when the worker is given up."""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError

from durable_ray.actors.activities.worker_client import WorkerGone
from durable_ray.actors.cluster.ray_hub import RayWorkerLink
from durable_ray.actors.wire.address import WireAddress
from durable_ray.actors.wire.listeners import ThreadListener
from tests.unit.actors.hosting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


class Method:
    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer = answer

    def remote(self, *args: Any) -> asyncio.Future[Any]:
        told = asyncio.get_running_loop().create_future()
        answer = self._answer(*args)
        if isinstance(answer, Exception):
            told.set_exception(answer)
        else:
            told.set_result(answer)
        return told


class Handle:
    """A worker's actor that lives, and cannot be reached for a while."""

    def __init__(self, address: WireAddress | None) -> None:
        self.held = Method(lambda host: [])
        self.wire = Method(lambda: address)
        self.run_packed = Method(lambda packed: pickle.dumps("ray"))
        self.collect = Method(lambda host, acks: ActorUnavailableError("for a while", None))


async def linked(listener: ThreadListener) -> RayWorkerLink:
    link = RayWorkerLink("w", Handle(listener.open()))
    await link.held("h")
    return link


async def test_a_worker_is_called_over_the_wire_once_it_was_asked_where_that_is() -> None:
    link = await linked(ThreadListener(lambda packed: pickle.dumps("wire")))
    assert await link.run("h", [], [], []) == "wire"
    assert await RayWorkerLink("w", Handle(None), wired=False).run("h", [], [], []) == "ray"


async def test_no_line_is_left_to_a_worker_that_is_given_up() -> None:
    listener = ThreadListener(lambda packed: pickle.dumps("wire"))
    free = listener._lines._value
    link = await linked(listener)
    assert await link.run("h", [], [], []) == "wire"
    assert listener._lines._value == free - 1
    with pytest.raises(WorkerGone):
        await link.collect("h", [])
    link.close()
    await until(lambda: listener._lines._value == free)
