"""Second lives and ends: rewinding, restarting and purging instances, and deleting the whole hub."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Unpack

from durable_ray.actors import errors
from durable_ray.actors.instances import instance_log
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import FINISHED, InstanceQuery
from durable_ray.client.operations.base import ClientCore, H
from durable_ray.client.operations.filters import Filters, acting_query_of
from durable_ray.client.operations.rewinding import check_version, rewinding
from durable_ray.client.steps import Steps, operation
from durable_ray.orchestrations.values.ids import validate_instance_id


@dataclass(frozen=True)
class PurgeResult:
    """How many instances a purge deleted, and whether it came to its end."""

    deleted: int
    is_complete: bool = True


class LifecycleOperations(ClientCore[H]):
    """Everything that concerns instances that have ended."""

    @operation
    def rewind(
        self, instance_id: str, reason: str | None = None, *, version: Literal["latest"] | None = None
    ) -> Steps[None]:
        """Let a failed (or terminated) instance go on: the activities and sub-orchestrations that failed run again.

        What completed is kept, timers and retries included; failed sub-orchestrations are rewound themselves. History
        keeps what was rewound, visibly. Activities run as deployed now: deploy the fix first, with `register`.

        Args:
            version: None: orchestrators go on with the code that they began with. "latest": the instance and every
                failed sub-orchestration that is rewound with it go on with their newest code, if all their histories
                replay on it. That is found out first; if one does not, nothing is changed.

        Raises:
            InstanceNotFound: there is none.
            InvalidState: it has not ended, or it completed.
            HistoryMismatch: (an InvalidState) a history does not replay on the newest code.
            ValueError: another `version`.

        Example:
            >>> client.rewind("nightly", "its last step is mended", version="latest")  # doctest: +SKIP

        Durable Functions' `rewind`, without its limits.
        """
        validate_instance_id(instance_id)
        check_version(version)
        yield from self._deployer.deploy(self._router)
        reply = yield from rewinding(self._router, instance_id, reason, version)
        errors.raise_for(instance_id, reply.code, reply.detail)

    @operation
    def restart(self, instance_id: str, *, restart_with_new_instance_id: bool = True) -> Steps[H]:
        """Start an orchestration anew with the name, input and tags of an existing instance, on the newest code.

        Args:
            restart_with_new_instance_id: under a new random ID (whatever the old one does), or under the same.

        Returns:
            A handle on the new instance.

        Raises:
            InstanceNotFound: there is none.
            InvalidState: it has not ended and was to be restarted under its own ID.
            UnknownDefinition: its orchestrator is no longer deployed.
        """
        validate_instance_id(instance_id)
        yield from self._deployer.deploy(self._router)
        new_id = uuid.uuid4().hex if restart_with_new_instance_id else instance_id
        revision = self._deployer.revision
        reply = yield from self._router.registry(Registry.restart, uuid.uuid4().hex, instance_id, new_id, revision)
        if reply.code == "unknown":
            raise errors.UnknownDefinition(f"no orchestrator {reply.detail} is deployed to the hub {self.hub!r}")
        if reply.code == "exists":
            raise errors.InvalidState(
                f"instance {instance_id!r} has not finished ({reply.detail}); terminate it first, or restart it with "
                "a new instance ID"
            )
        errors.raise_for(instance_id, reply.code, reply.detail)
        instance_log.started(new_id)
        self._router.forget(instance_id)
        if reply.host:
            self._router.remember(new_id, reply.host)
        return self._handle(new_id)

    @operation
    def purge(self, instance_id: str, *, recursive: bool = False) -> Steps[int]:
        """Delete a finished instance with its history; answers how many were deleted.

        Args:
            recursive: with its finished sub-orchestrations, and theirs.

        Returns:
            0 if there is no such instance or it has not ended (terminate it first).
        """
        validate_instance_id(instance_id)
        deleted = yield from self._router.registry(Registry.purge, instance_id, recursive)
        self._router.forget(instance_id)
        return deleted

    @operation
    def purge_by(
        self,
        *,
        recursive: bool = False,
        batch_size: int = 500,
        limit: int | None = None,
        progress: Callable[[int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> Steps[PurgeResult]:
        """Delete all finished instances that match, batch by batch. For the filters see `Filters`.

        Each batch is durable by itself and short, so nothing waits for a purge, and one that is interrupted is resumed
        by calling it again.

        Args:
            recursive: with their finished sub-orchestrations.
            batch_size: instances examined by one call.
            limit: stop after this many; `is_complete` is False if there were more.
            progress: called after each batch with the number deleted so far.

        Raises:
            ValueError: a status is asked for in which nothing can be purged; or no filter that was given says anything.

        Example:
            >>> client.purge_by(created_time_to=last_month, runtime_status="Completed").deleted  # doctest: +SKIP
        """
        return (yield from self._purge_by(acting_query_of(filters), recursive, batch_size, limit, progress))

    def _purge_by(
        self,
        query: InstanceQuery,
        recursive: bool,
        batch_size: int = 500,
        limit: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Steps[PurgeResult]:
        unfinished = [status for status in query.statuses if status not in (*FINISHED, "Canceled")]
        if unfinished:
            raise ValueError(f"only {', '.join(FINISHED)} instances can be purged, not {', '.join(unfinished)}")
        deleted, token = 0, None
        while True:
            size = batch_size if limit is None else min(batch_size, limit - deleted)
            page = yield from self._router.registry(Registry.purge_page, query, size, token, recursive)
            deleted, token = deleted + page.deleted, page.token
            if progress is not None:
                progress(deleted)
            if token is None:
                return PurgeResult(deleted)
            if limit is not None and deleted >= limit:
                return PurgeResult(deleted, is_complete=False)

    @operation
    def delete_task_hub(self, confirm: str, *, force: bool = False) -> Steps[int]:
        """Delete every instance, definition and message of this hub; answers how many instances there were.

        Args:
            confirm: the hub's name, so that the wrong one is not deleted.
            force: also if instances are still running; they end without notice to their waiters.

        Raises:
            ValueError: `confirm` is not the hub's name.
            InvalidState: instances are still running.

        Durable Functions' `func durable delete-task-hub`. The hub goes on, empty.
        """
        if confirm != self.hub:
            raise ValueError(f"this client's hub is {self.hub!r}, not {confirm!r}; nothing was deleted")
        reply = yield from self._router.registry_within(600.0, Registry.erase, force)
        if reply.code != "ok":
            raise errors.InvalidState(f"hub {self.hub!r}: {reply.detail}")
        self._deployer.forget()
        return int(reply.detail)
