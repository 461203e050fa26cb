"""A handle on one instance: the client's operations with the ID filled in."""

from __future__ import annotations

from typing import Any, Literal

from durable_ray.actors.instances.status import OrchestrationStatus
from durable_ray.client.steps import Awaiting, Blocking, Steps, operation


class _Held:
    """What a handle holds."""

    def __init__(self, client: Any, instance_id: str, output_hint: Any = None) -> None:
        self._client = client
        self._driver = client._driver
        self.instance_id = instance_id
        self._output_hint = output_hint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.instance_id!r}>"

    def __reduce__(self) -> Any:
        return str, (self.instance_id,)


class _Living(_Held):
    """Operations on one instance: queries, events, control."""

    @operation
    def get_status(self, /, **options: Any) -> Steps[OrchestrationStatus | None]:
        """The instance's status; see `Client.get_status`."""
        status: OrchestrationStatus | None = yield from self._client._get_status(self.instance_id, **options)
        return status

    @operation
    def get_history(self, /, **options: Any) -> Steps[list[dict[str, Any]] | None]:
        """What happened in it; see `Client.get_history`."""
        history: list[dict[str, Any]] | None = yield from self._client._get_history(self.instance_id, **options)
        return history

    @operation
    def wait_for_start(self, timeout: float | None = 30.0) -> Steps[None]:
        """Wait until its first turn was taken; see `Client.wait_for_start`."""
        yield from self._client._wait_for_start(self.instance_id, timeout)

    @operation
    def wait_for_completion(self, timeout: float | None = None) -> Steps[Any]:
        """Wait for its output; see `Client.wait_for_completion`."""
        return (yield from self._client._wait_for_completion(self.instance_id, timeout, self._output_hint))

    @operation
    def raise_event(self, /, event_name: str, data: object = None, **options: Any) -> Steps[None]:
        """Send it an event; see `Client.raise_event`."""
        yield from self._client._raise_event(self.instance_id, event_name, data, **options)

    @operation
    def terminate(self, /, reason: object = None, **options: Any) -> Steps[None]:
        """End it; see `Client.terminate`."""
        yield from self._client._terminate(self.instance_id, reason, **options)

    @operation
    def suspend(self, reason: str | None = None) -> Steps[None]:
        """Pause it; see `Client.suspend`."""
        yield from self._client._suspend(self.instance_id, reason)

    @operation
    def resume(self, reason: str | None = None) -> Steps[None]:
        """Let it go on; see `Client.resume`."""
        yield from self._client._resume(self.instance_id, reason)


class HandleOperations(_Living):
    """What can be asked of an instance by its handle, alive or not."""

    @operation
    def rewind(self, reason: str | None = None, *, version: Literal["latest"] | None = None) -> Steps[None]:
        """Run again what failed; see `Client.rewind`."""
        yield from self._client._rewind(self.instance_id, reason, version=version)

    @operation
    def restart(self, *, restart_with_new_instance_id: bool = True) -> Steps[Any]:
        """Start it anew; a handle on the new instance. See `Client.restart`."""
        return (
            yield from self._client._restart(
                self.instance_id, restart_with_new_instance_id=restart_with_new_instance_id
            )
        )

    @operation
    def purge(self, *, recursive: bool = False) -> Steps[int]:
        """Delete it; see `Client.purge`."""
        deleted: int = yield from self._client._purge(self.instance_id, recursive=recursive)
        return deleted


class OrchestrationHandle(HandleOperations, Blocking):
    """A handle whose operations block."""


class AsyncOrchestrationHandle(HandleOperations, Awaiting):
    """A handle whose operations are awaited."""
