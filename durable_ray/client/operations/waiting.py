"""Waiting for instances: long polls at their hosts, never polling of the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from durable_ray.actors import errors
from durable_ray.actors.instances.status import result_of
from durable_ray.actors.instances.waits import explained
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.operations.base import ClientCore, H
from durable_ray.client.steps import Steps, operation

#: Seconds for which the hub is asked what an instance waits for, when somebody has waited for it in vain.
_EXPLAINED_SECONDS = 2.0


class WaitOperations(ClientCore[H]):
    """Everything that waits."""

    @operation
    def wait_for_start(self, instance_id: str, timeout: float | None = 30.0) -> Steps[None]:
        """Wait until the instance has taken its first turn.

        Raises:
            TimeoutError: it has not begun after `timeout` seconds (it may wait for admission or for `start_at`).
            InstanceNotFound: there is none.
        """
        ending = yield from self._router.wait(instance_id, timeout, start=True)
        if ending is None:
            raise (yield from self._late(instance_id, f"has not started after {timeout:g} s"))
        if ending.status == "absent":
            raise errors.InstanceNotFound(instance_id)

    @operation
    def wait_for_completion(
        self, instance_id: str, timeout: float | None = None, *, output_type: Any = None
    ) -> Steps[Any]:
        """Wait for an instance to end; answers its output.

        Args:
            timeout: seconds; None waits for ever.
            output_type: type to which the output is brought (by a handle: the orchestrator's return hint).

        Raises:
            OrchestrationFailed: it failed; `.details` says how.
            OrchestrationTerminated: it was terminated.
            TimeoutError: it has not ended in time (it goes on).
            InstanceNotFound: there is none.
        """
        ending = yield from self._router.wait(instance_id, timeout)
        if ending is None:
            raise (yield from self._late(instance_id, f"has not finished after {timeout:g} s"))
        return result_of(ending, output_type)

    def _late(self, instance_id: str, what: str) -> Steps[TimeoutError]:
        """The error for who waited in vain: with what the instance waits for, if that can be had at once."""
        said = f"instance {instance_id!r} {what}"
        try:
            facts = yield from self._router.registry_within(_EXPLAINED_SECONDS, Registry.waiting, instance_id, "none")
        except errors.HubUnavailable:
            return TimeoutError(f"{said}; the hub does not answer why")
        return TimeoutError(said if facts is None else f"{said}; {explained(facts)}")

    @operation
    def wait_many(self, handles: Iterable[Any], timeout: float | None = None) -> Steps[list[Any]]:
        """Wait for all of these (handles or IDs); their outputs, in order. Raises what `wait_for_completion` raises."""
        wanted = list(handles)
        ids = [handle if isinstance(handle, str) else handle.instance_id for handle in wanted]
        endings = yield from self._router.wait_all(ids, timeout)
        late = [instance_id for instance_id in ids if instance_id not in endings]
        if late:
            error = yield from self._late(late[0], "is one of them")
            more = f"{len(late)} of {len(ids)} instances have not finished after {timeout:g} s: {late[:3]}"
            raise TimeoutError(f"{more}; {error}")
        return [result_of(endings[i], getattr(h, "_output_hint", None)) for i, h in zip(ids, wanted, strict=True)]
