"""A handle on one instance: the client's operations with the ID filled in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any, Generic, Literal

from typing_extensions import TypeVar

from durable_ray.actors.instances.status import OrchestrationStatus
from durable_ray.client.operations import Operations
from durable_ray.client.steps import EXPECTED, Awaiting, AwaitingDriver, Blocking, Steps, operation
from durable_ray.notebook.lists import HistoryList
from durable_ray.notebook.progress import Progress
from durable_ray.notebook.watching import InstanceWatch, Watched, watch_blocking

#: The orchestrator's result.
R = TypeVar("R", default=Any)


class HandleOperations(Generic[R]):
    """What can be asked of an instance by its handle, alive or not."""

    def __init__(self, client: Any, instance_id: str, output_hint: Any = None) -> None:
        self._client = client
        self._driver = client._driver
        self.instance_id = instance_id
        self._output_hint = output_hint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.instance_id!r}>"

    def _repr_html_(self) -> str:
        from durable_ray.notebook.overview import kept_short, overview  # for notebooks alone

        client = self._client._blocking()
        return str(kept_short(lambda: client._driver.run(overview(client._router, self.instance_id))))

    def __reduce__(self) -> Any:
        return str, (self.instance_id,)

    def __await__(self) -> Generator[Any, Any, R]:
        """Its output, without blocking the event loop; see `Client.wait_for_completion`."""
        return self._output().__await__()

    async def _output(self) -> R:
        __tracebackhide__ = True
        try:
            return await self._awaiting().run(HandleOperations.wait_for_completion.steps(self))
        except EXPECTED as error:
            raise error.with_traceback(None)  # noqa: B904 - it is the same error

    def __aiter__(self) -> AsyncIterator[Progress]:
        """Its progress until it has ended, with one live line; see `watch`."""
        return aiter(InstanceWatch(self._awaiting(), self._watched(None)))

    def _awaiting(self) -> AwaitingDriver:
        raise TypeError("a handle is `OrchestrationHandle` or `AsyncOrchestrationHandle`")

    def _watched(self, timeout: float | None) -> Watched:
        return Watched(self._client._router, self.instance_id, self._output_hint, timeout)

    @operation
    def get_status(self, /, **options: Any) -> Steps[OrchestrationStatus | None]:
        """The instance's status; see `Client.get_status`."""
        return (yield from Operations.get_status.steps(self._client, self.instance_id, **options))

    @operation
    def get_history(self, /, **options: Any) -> Steps[HistoryList | None]:
        """What happened in it; see `Client.get_history`."""
        return (yield from Operations.get_history.steps(self._client, self.instance_id, **options))

    @operation
    def wait_for_start(self, timeout: float | None = 30.0) -> Steps[None]:
        """Wait until its first turn was taken; see `Client.wait_for_start`."""
        yield from Operations.wait_for_start.steps(self._client, self.instance_id, timeout)

    @operation
    def wait_for_completion(self, timeout: float | None = None) -> Steps[R]:
        """Wait for its output; see `Client.wait_for_completion`."""
        hint = self._output_hint
        output: R = yield from Operations.wait_for_completion.steps(
            self._client, self.instance_id, timeout, output_type=hint
        )
        return output

    @operation
    def raise_event(self, /, event_name: str, data: object = None, **options: Any) -> Steps[None]:
        """Send it an event; see `Client.raise_event`."""
        yield from Operations.raise_event.steps(self._client, self.instance_id, event_name, data, **options)

    @operation
    def terminate(self, /, reason: object = None, **options: Any) -> Steps[None]:
        """End it; see `Client.terminate`."""
        yield from Operations.terminate.steps(self._client, self.instance_id, reason, **options)

    @operation
    def suspend(self, reason: str | None = None) -> Steps[None]:
        """Pause it; see `Client.suspend`."""
        yield from Operations.suspend.steps(self._client, self.instance_id, reason)

    @operation
    def resume(self, reason: str | None = None) -> Steps[None]:
        """Let it go on; see `Client.resume`."""
        yield from Operations.resume.steps(self._client, self.instance_id, reason)

    @operation
    def rewind(self, reason: str | None = None, *, version: Literal["latest"] | None = None) -> Steps[None]:
        """Run again what failed; see `Client.rewind`."""
        yield from Operations.rewind.steps(self._client, self.instance_id, reason, version=version)

    @operation
    def restart(self, *, restart_with_new_instance_id: bool = True) -> Steps[Any]:
        """Start it anew; a handle on the new instance. See `Client.restart`."""
        new = restart_with_new_instance_id
        return (yield from Operations.restart.steps(self._client, self.instance_id, restart_with_new_instance_id=new))

    @operation
    def purge(self, *, recursive: bool = False) -> Steps[int]:
        """Delete it; see `Client.purge`."""
        return (yield from Operations.purge.steps(self._client, self.instance_id, recursive=recursive))


class OrchestrationHandle(HandleOperations[R], Blocking):
    """A handle whose operations block. `R` is what the orchestrator returns."""

    _stands_for = (("R", "Any"),)

    def watch(self, timeout: float | None = None) -> R:
        """Wait for its output, with one line that shows how far it has got: its status, what is done, what it waits for.

        The line changes in place in a notebook's cell and on a terminal (on standard error); in a pipe it is written at
        each step. How far: what the orchestrator says with `ctx.set_custom_status({"progress": 0.4})` or
        `{"progress": [4, 10]}`, else how many of the activities and sub-orchestrations that it has asked for are done.

        Args:
            timeout: seconds; None waits for ever.

        Raises what `wait_for_completion` raises.

        Example:
            >>> client.start_new(nightly, job).watch()  # doctest: +SKIP
        """
        __tracebackhide__ = True
        try:
            output: R = watch_blocking(self._driver, self._watched(timeout))
            return output
        except EXPECTED as error:
            raise error.with_traceback(None)  # noqa: B904 - it is the same error

    def _awaiting(self) -> AwaitingDriver:
        driver: AwaitingDriver = self._driver.awaiting()
        return driver


class AsyncOrchestrationHandle(HandleOperations[R], Awaiting):
    """A handle whose operations are awaited. `R` is what the orchestrator returns."""

    _stands_for = (("R", "Any"),)

    def watch(self, timeout: float | None = None) -> InstanceWatch[R]:
        """Its progress with one live line, to be awaited for the output, or gone through with `async for`.

        See `OrchestrationHandle.watch`.
        """
        return InstanceWatch(self._driver, self._watched(timeout))

    def _awaiting(self) -> AwaitingDriver:
        driver: AwaitingDriver = self._driver
        return driver
