"""The executor that runs activities as Ray tasks: those with resources, a runtime environment or a scheduling strategy.

Ray places them and scales for them. Ray's retries are off: attempts are recorded in history. A task dies with its owner,
the host; its successor runs it again.
"""

from __future__ import annotations

import asyncio
import json
import pickle
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any

import ray
from ray.exceptions import LocalRayletDiedError, NodeDiedError, RayError, RuntimeEnvSetupError, TaskCancelledError

from durable_ray.actors.activities import sigterm
from durable_ray.actors.activities.dispatcher import Crashed, Job
from durable_ray.actors.activities.ports import Address, OnResult
from durable_ray.actors.activities.runner import failed, run_activity
from durable_ray.actors.store.background import TaskSet

#: Seconds between the polite and the forceful cancellation.
_GRACE = 5.0
_MOST_FUNCTIONS = 1_000
#: Seconds before an attempt whose process got SIGTERM is tried again: until then Ray may place it in the same process.
_PAUSE = 0.5
#: The result of a task whose process got SIGTERM.
_ENDS = b""


class RayTaskExecutor:
    """Runs each job as a Ray task of its own."""

    def __init__(self, hub: str, on_result: OnResult, crashed: Crashed) -> None:
        self._hub = hub
        self._on_result = on_result
        self._crashed = crashed
        self._loop = asyncio.get_running_loop()
        self._run = ray.remote(_run_packed)
        #: The task with the options of an activity: building it takes as long as calling it.
        self._functions: OrderedDict[tuple[str, str, str | None], Any] = OrderedDict()
        self._refs: dict[Address, Any] = {}
        self._tasks = TaskSet()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Start these jobs. Returns at once."""
        for job in jobs:
            self._tasks.spawn(self._await_result(job))

    def cancel(self, address: Address) -> None:
        """Interrupt the task; if it does not end, kill its process."""
        ref = self._refs.get(address)
        if ref is not None:
            ray.cancel(ref, force=False)
            self._loop.call_later(_GRACE, self._force, address, ref)

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """No results are kept here."""

    async def adopt(self) -> None:
        """Tasks do not survive their owner."""

    async def close(self) -> None:
        """Stop waiting for results."""
        self._tasks.cancel()

    def _function(self, job: Job) -> Any:
        # The options are the newest definition's, also for an activity that runs the code with which it was scheduled.
        key = (job.known.row.name, job.known.row.code_id, job.known.row.runtime_env)
        function = self._functions.get(key)
        if function is None:
            function = self._functions[key] = self._run.options(**_options(job))
            if len(self._functions) > _MOST_FUNCTIONS:
                self._functions.popitem(last=False)
        return function

    def _force(self, address: Address, ref: Any) -> None:
        if self._refs.get(address) is ref:
            ray.cancel(ref, force=True)

    async def _await_result(self, job: Job) -> None:
        address = job.invocation.address
        try:
            ref = self._function(job).remote(pickle.dumps((job.row, job.invocation, self._hub), protocol=5))
            self._refs[address] = ref
            answer = await ref
            result = pickle.loads(answer) if answer != _ENDS else None
        except RuntimeEnvSetupError as error:
            self._on_result(address, failed(job.invocation, "ray.exceptions.RuntimeEnvSetupError", str(error)))
        except TaskCancelledError:
            self._on_result(address, failed(job.invocation, "durable_ray.ActivityCanceled", "it was cancelled"))
        except (NodeDiedError, LocalRayletDiedError) as error:
            self._crashed(job, type(error).__name__, False)
        except (RayError, ValueError, TypeError) as error:
            self._crashed(job, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        else:
            if result is None:
                self._loop.call_later(_PAUSE, self._crashed, job, "its process was told to end", False)
            else:
                self._on_result(address, result)
        finally:
            self._refs.pop(address, None)


def _run_packed(packed: bytes) -> bytes:
    """Run one activity. Bytes in and out, which Ray passes on as they are."""
    sigterm.unwind()
    answer = _ENDS
    try:
        answer = pickle.dumps(run_activity(*pickle.loads(packed)), protocol=5)
    except (SystemExit, sigterm.ProcessEnds):
        if not sigterm.terminating():
            raise
    if not sigterm.terminating():
        return answer
    sigterm.unwound()
    return _ENDS


def _options(job: Job) -> dict[str, Any]:
    options = job.known.options.ray_options()
    if job.known.row.runtime_env is not None:
        options["runtime_env"] = json.loads(job.known.row.runtime_env)
    return {**options, "max_retries": 0, "name": job.invocation.name}
