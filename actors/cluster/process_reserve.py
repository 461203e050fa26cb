"""Prestarted processes for the next dedicated instances: most of the time of a start is Ray starting a Python process.

Ray keeps idle processes for tasks, but none of those may become a detached actor of another job: it needs a fresh one. Each
node's raylet can prestart one, and assigns it to the next actor with the same runtime environment. That call is internal to
Ray, so any failure of it (another release of Ray, no gRPC for Python) is logged once, and starts go on without a reserve.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterator

import ray

log = logging.getLogger("durable_ray.registry")

#: Seconds for which the raylet keeps an unused process, even beyond its own limit of idle ones.
_KEPT = 600
_ANSWER_SECONDS = 10.0


class ProcessReserve:
    """Keeps prestarted processes on this node, from the first dedicated instance on: a hub without any needs none."""

    def __init__(self, size: int) -> None:
        self._size = size
        #: When the unused ones were requested, as far as the node still keeps them.
        self._waiting: deque[float] = deque()
        self._making = 0
        self._in_use = False

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Use while an actor is created on this node, which takes a process out of the reserve unless that fails.

        The next one is prestarted meanwhile, unless this is the first or one of many: those go first.
        """
        self._making += 1
        if self._in_use and self._making == 1:
            self._fill(self._size + 1)
        self._in_use = True
        try:
            yield
            if self._waiting:
                self._waiting.popleft()
        finally:
            self._making -= 1
            if not self._making:
                self._fill(self._size)

    def _fill(self, wanted: int) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0] < loop.time() - _KEPT:
            self._waiting.popleft()
        missing = wanted - len(self._waiting)
        if self._size and missing > 0:
            self._waiting.extend([loop.time()] * missing)
            loop.run_in_executor(None, _prestart, missing).add_done_callback(self._answered)

    def _answered(self, asked: asyncio.Future[None]) -> None:
        error = None if asked.cancelled() else asked.exception()
        if error is not None:
            self._size = 0
            log.info("no process is kept in reserve, dedicated instances start without: %s", error)


def _prestart(number: int) -> None:
    # Imported here, on this thread: gRPC for Python takes a while to load, and may not be there.
    try:
        from ray._private.grpc_utils import init_grpc_channel
    except ModuleNotFoundError:  # older ones have it there
        from ray._private.utils import init_grpc_channel
    from ray.core.generated.common_pb2 import Language
    from ray.core.generated.node_manager_pb2 import PrestartWorkersRequest
    from ray.core.generated.node_manager_pb2_grpc import NodeManagerServiceStub

    context = ray.get_runtime_context()
    here = context.get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == here)
    request = PrestartWorkersRequest(language=Language.PYTHON, keep_alive_duration_secs=_KEPT, num_workers=number)
    request.runtime_env_info.serialized_runtime_env = context.get_runtime_env_string()
    with init_grpc_channel(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}") as channel:
        NodeManagerServiceStub(channel).PrestartWorkers(request, timeout=_ANSWER_SECONDS)
