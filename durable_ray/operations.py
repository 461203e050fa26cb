"""The client's operations, each written once as steps (`steps.py`) for the blocking and the awaitable client."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from durable_ray.actors import errors
from durable_ray.actors.messages import Delivery, Hello, Reply, StartRequest, Wish
from durable_ray.actors.placing import partition_host
from durable_ray.actors.packing import PYTHON_PAYLOADS
from durable_ray.actors.status import OrchestrationStatus, RuntimeStatus, micros, result_of, status_of
from durable_ray.actors.store.records import IfExists, InstanceQuery, Page, Placement
from durable_ray.deploying import Deployer
from durable_ray.orchestrations import events as ev
from durable_ray.orchestrations.definitions import Activity, Orchestrator
from durable_ray.orchestrations.events import Message
from durable_ray.orchestrations.ids import validate_instance_id
from durable_ray.reach import Reach
from durable_ray.steps import Steps, operation

H = TypeVar("H")
AnyOrchestrator = Orchestrator[..., Any] | str
_PAGE = 500


class Operations(Generic[H]):
    """Everything a client can do. `H` is the kind of handle it gives out."""

    def __init__(self, hello: Hello, deployer: Deployer, partitions: int) -> None:
        self.hub = hello.hub
        self._hello = hello
        self._deployer = deployer
        self._partitions = partitions
        self._reach = Reach()

    def _handle(self, instance_id: str, output_hint: Any = None) -> H:
        raise TypeError("a client is `Client` or `AsyncClient`")

    def get_handle(self, instance_id: str) -> H:
        """A handle on an instance, whether it exists or not. Asks nobody."""
        return self._handle(validate_instance_id(instance_id))

    # --- starting -------------------------------------------------------------------------------------------------------

    @operation
    def register(self, *definitions: Activity[..., Any] | Orchestrator[..., Any]) -> Steps[None]:
        """Deploy definitions to the hub now: these, or, without arguments, all that this process has decorated.

        A start does this by itself for whatever was decorated since the last one.
        """
        yield from self._deployer.deploy(self._reach, definitions or None)

    @operation
    def start_new(
        self,
        orchestrator: AnyOrchestrator,
        input: object = None,
        *,
        instance_id: str | None = None,
        if_exists: IfExists = "reject",
        start_at: datetime | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        placement: Placement | None = None,
        version: str | None = None,
        priority: int | None = None,
    ) -> Steps[H]:
        """Start an orchestration; it is durable when this returns.

        Args:
            orchestrator: the decorated function, or the name under which it is deployed.
            input: anything JSON can say, by the orchestrator's type hint; other Python values are pickled.
            instance_id: the singleton's ID; a random one (32 hex digits) if left out.
            if_exists: what to do if the ID is taken by an instance that has not finished: "reject" raises,
                "use_existing" returns a handle on it, "terminate_existing" ends it and starts anew, "reject_finished"
                raises even if it has finished. Atomic: of N racing starters one wins.
            start_at: not before this time (naive: UTC), or not before this much time has passed.
            tags: text labels that lists can filter by.
            placement: "dedicated" (an actor of its own, named as the instance) or "shared".
            version: the orchestrator's version; the newest if left out.
            priority: of those waiting for a dedicated actor, the higher goes first.

        Raises:
            InstanceAlreadyExists: the ID is taken.
            InvalidInstanceId: the ID cannot be used.
            UnknownDefinition: nobody deployed an orchestrator of that name (and version).
            PayloadNotSerializable: the input can be neither said in JSON nor pickled.
            HubUnavailable: the hub did not answer.

        Example:
            >>> handle = client.start_new(hello_cities, ["Tokyo"], instance_id="hello")  # doctest: +SKIP

        Durable Functions' `start_new`; the policies are Temporal's.
        """
        (handle,) = yield from self._start(
            orchestrator, [input], [instance_id], if_exists, start_at, tags, placement, version, priority
        )
        return handle

    @operation
    def start_many(
        self,
        orchestrator: AnyOrchestrator,
        inputs: Iterable[object],
        *,
        instance_ids: Sequence[str] | None = None,
        if_exists: IfExists = "reject",
        start_at: datetime | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        placement: Placement | None = None,
        version: str | None = None,
        priority: int | None = None,
    ) -> Steps[list[H]]:
        """Start many orchestrations with one call and one commit per host. See `start_new`.

        Raises what `start_new` raises; the others were started all the same.
        """
        values = list(inputs)
        ids: list[str | None] = [None] * len(values) if instance_ids is None else list(instance_ids)
        if len(ids) != len(values):
            raise ValueError(f"{len(values)} inputs need as many instance IDs, not {len(ids)}")
        return (
            yield from self._start(orchestrator, values, ids, if_exists, start_at, tags, placement, version, priority)
        )

    def _start(
        self,
        orchestrator: AnyOrchestrator,
        values: Sequence[object],
        ids: Sequence[str | None],
        if_exists: IfExists,
        start_at: datetime | timedelta | None,
        tags: Mapping[str, str] | None,
        placement: Placement | None,
        version: str | None,
        priority: int | None,
    ) -> Steps[list[H]]:
        for instance_id in ids:
            if instance_id is not None:
                validate_instance_id(instance_id)
        name, hint = _named(orchestrator)
        own_version = (orchestrator.version or None) if isinstance(orchestrator, Orchestrator) else None
        yield from self._deployer.deploy(self._reach, None)
        at = micros(start_at) if isinstance(start_at, datetime) else None
        delay = start_at // timedelta(microseconds=1) if isinstance(start_at, timedelta) else None
        requests: dict[str | None, list[StartRequest]] = {}
        order: list[StartRequest] = []
        for value, chosen in zip(values, ids, strict=True):
            wish = Wish(
                name,
                chosen or uuid.uuid4().hex,
                uuid.uuid4().hex,
                chosen is not None,
                PYTHON_PAYLOADS.encode(value),
                version or own_version,
                at,
                delay,
                dict(tags or {}),
                placement,
                priority,
            )
            request = StartRequest(uuid.uuid4().hex, wish, if_exists, revision=self._deployer.revision)
            shared = chosen is None and placement != "dedicated" and self._deployer.may_be_shared(name)
            host = partition_host(wish.instance_id, self._partitions) if shared else None
            requests.setdefault(host, []).append(request)
            order.append(request)
        replies: dict[str, Reply] = {}
        for host, group in requests.items():
            answers = yield from self._reach.start(group, host)
            replies.update(zip([request.request_id for request in group], answers, strict=True))
        return [self._started(request, replies[request.request_id], hint) for request in order]

    def _started(self, request: StartRequest, reply: Reply, hint: Any) -> H:
        instance_id = request.wish.instance_id
        if reply.code == "unknown":
            raise errors.UnknownDefinition(
                f"no orchestrator {reply.detail} is deployed to the hub {self.hub!r}; pass the decorated function, or "
                "deploy it first: client.register(function)"
            )
        if reply.code == "exists" and request.if_exists != "use_existing":
            raise errors.InstanceAlreadyExists(instance_id, reply.detail)
        if reply.host:
            self._reach.remember(instance_id, reply.host)
        return self._handle(instance_id, hint)

    # --- asking ---------------------------------------------------------------------------------------------------------

    @operation
    def get_status(
        self, instance_id: str, *, show_history: bool = False, show_input: bool = True
    ) -> Steps[OrchestrationStatus | None]:
        """One instance, or None if it does not exist.

        Args:
            show_history: with the events of its current execution.
            show_input: with its input.
        """
        return (yield from self._get_status(instance_id, show_history=show_history, show_input=show_input))

    def _get_status(
        self, instance_id: str, *, show_history: bool, show_input: bool
    ) -> Steps[OrchestrationStatus | None]:
        found = yield from self._reach.registry("row", instance_id, show_history)
        if found is None:
            return None
        row, history = found
        return status_of(row, history if show_history else None, show_input=show_input)

    @operation
    def list_instances(
        self,
        *,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: Iterable[RuntimeStatus | str] | RuntimeStatus | str = (),
        name: str | Iterable[str] = (),
        instance_id_prefix: str = "",
        tags: Mapping[str, str] | None = None,
        show_input: bool = True,
        limit: int | None = None,
    ) -> Steps[list[OrchestrationStatus]]:
        """Instances by created time; all parts of the filter are ANDed, several statuses or names ORed.

        Args:
            created_time_from, created_time_to: inclusive bounds (naive: UTC).
            limit: at most so many; None: all, fetched page by page.
        """
        query = make_query(created_time_from, created_time_to, runtime_status, name, instance_id_prefix, tags)
        found: list[OrchestrationStatus] = []
        token: str | None = None
        while limit is None or len(found) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page: Page = yield from self._reach.registry("query", query, size, token)
            found += [status_of(row, show_input=show_input) for row in page.rows]
            token = page.token
            if token is None:
                break
        return found

    # --- waiting --------------------------------------------------------------------------------------------------------

    @operation
    def wait_for_start(self, instance_id: str, timeout: float | None = 30.0) -> Steps[None]:
        """Wait until the instance has taken its first turn.

        Raises:
            TimeoutError: it has not begun after `timeout` seconds (it may wait for admission or for `start_at`).
            InstanceNotFound: there is none.
        """
        yield from self._wait_for_start(instance_id, timeout)

    def _wait_for_start(self, instance_id: str, timeout: float | None) -> Steps[None]:
        ending = yield from self._reach.wait(instance_id, timeout, start=True)
        if ending is None:
            raise TimeoutError(f"instance {instance_id!r} has not started after {timeout:g} s")
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
        return (yield from self._wait_for_completion(instance_id, timeout, output_type))

    def _wait_for_completion(self, instance_id: str, timeout: float | None, hint: Any) -> Steps[Any]:
        ending = yield from self._reach.wait(instance_id, timeout)
        if ending is None:
            raise TimeoutError(f"instance {instance_id!r} has not finished after {timeout:g} s")
        return result_of(ending, hint)

    @operation
    def wait_many(self, handles: Iterable[Any], timeout: float | None = None) -> Steps[list[Any]]:
        """Wait for all of these (handles or IDs); their outputs, in order. Raises what `wait_for_completion` raises."""
        wanted = list(handles)
        ids = [handle if isinstance(handle, str) else handle.instance_id for handle in wanted]
        endings = yield from self._reach.wait_all(ids, timeout)
        late = [instance_id for instance_id in ids if instance_id not in endings]
        if late:
            raise TimeoutError(f"{len(late)} of {len(ids)} instances have not finished after {timeout:g} s: {late[:3]}")
        return [result_of(endings[i], getattr(h, "_output_hint", None)) for i, h in zip(ids, wanted, strict=True)]

    # --- messages -------------------------------------------------------------------------------------------------------

    @operation
    def raise_event(
        self, instance_id: str, event_name: str, data: object = None, *, when_not_awaited: str = "buffer"
    ) -> Steps[None]:
        """Send an event to an instance; durable when this returns.

        Events of a name (case does not matter) arrive in the order in which they were raised, and wait for an instance
        that is not waiting for them yet: pending, suspended, asleep, or between two executions.

        Args:
            when_not_awaited: "buffer", or "discard" for the rule of Durable Functions 1.x.

        Raises:
            InstanceNotFound, InstanceFinished: nobody there to hear it.
        """
        yield from self._raise_event(instance_id, event_name, data, when_not_awaited=when_not_awaited)

    def _raise_event(
        self, instance_id: str, event_name: str, data: object = None, *, when_not_awaited: str = "buffer"
    ) -> Steps[None]:
        if not isinstance(event_name, str) or not event_name.strip():
            raise ValueError("an event needs a name")
        if when_not_awaited not in ("buffer", "discard"):
            raise ValueError(f"when_not_awaited is 'buffer' or 'discard', not {when_not_awaited!r}")
        message_id = uuid.uuid4().hex
        payload = PYTHON_PAYLOADS.encode(data)
        event = ev.EventRaised(event_name, payload, message_id, discard=when_not_awaited == "discard")
        yield from self._send(instance_id, message_id, event)

    @operation
    def terminate(
        self, instance_id: str, reason: object = None, *, recursive: bool = False, cancel_activities: bool = False
    ) -> Steps[None]:
        """End an instance: at its next await, or at once if it waits. `reason` becomes its output.

        Args:
            recursive: its sub-orchestrations too.
            cancel_activities: also tell running activities to stop.

        Raises:
            InstanceNotFound, InstanceFinished.
        """
        yield from self._terminate(instance_id, reason, recursive=recursive, cancel_activities=cancel_activities)

    def _terminate(
        self, instance_id: str, reason: object = None, *, recursive: bool = False, cancel_activities: bool = False
    ) -> Steps[None]:
        payload = None if reason is None else PYTHON_PAYLOADS.encode(reason)
        event = ev.TerminateRequested(payload, recursive, cancel_activities)
        yield from self._send(instance_id, uuid.uuid4().hex, event)

    @operation
    def suspend(self, instance_id: str, reason: str | None = None) -> Steps[None]:
        """Pause an instance: events and results are kept, its code takes no step.

        Raises:
            InstanceNotFound, InstanceFinished.
            InvalidState: it is suspended already.
        """
        yield from self._suspend(instance_id, reason)

    def _suspend(self, instance_id: str, reason: str | None = None) -> Steps[None]:
        yield from self._send(instance_id, uuid.uuid4().hex, ev.ExecutionSuspended(reason))

    @operation
    def resume(self, instance_id: str, reason: str | None = None) -> Steps[None]:
        """Let a suspended instance go on.

        Raises:
            InstanceNotFound, InstanceFinished.
            InvalidState: it is not suspended.
        """
        yield from self._resume(instance_id, reason)

    def _resume(self, instance_id: str, reason: str | None = None) -> Steps[None]:
        yield from self._send(instance_id, uuid.uuid4().hex, ev.ExecutionResumed(reason))

    def _send(self, instance_id: str, message_id: str, event: ev.Event) -> Steps[None]:
        validate_instance_id(instance_id)
        delivery = Delivery(message_id, instance_id, Message(message_id, event))
        reply = yield from self._reach.deliver(delivery)
        errors.raise_for(instance_id, reply.code, reply.detail)


def make_query(
    created_time_from: datetime | None,
    created_time_to: datetime | None,
    runtime_status: Iterable[RuntimeStatus | str] | RuntimeStatus | str,
    name: str | Iterable[str],
    instance_id_prefix: str,
    tags: Mapping[str, str] | None,
) -> InstanceQuery:
    """A filter from what users write. Raises ValueError for a status that does not exist."""
    statuses = [runtime_status] if isinstance(runtime_status, str) else list(runtime_status)
    return InstanceQuery(
        created_from=None if created_time_from is None else micros(created_time_from),
        created_to=None if created_time_to is None else micros(created_time_to),
        statuses=tuple(str(RuntimeStatus(status)) for status in statuses),
        names=(name,) if isinstance(name, str) else tuple(name),
        id_prefix=instance_id_prefix,
        tags=dict(tags or {}),
    )


def _named(orchestrator: AnyOrchestrator) -> tuple[str, Any]:
    if isinstance(orchestrator, str):
        return orchestrator, None
    if isinstance(orchestrator, Orchestrator):
        return orchestrator.name, orchestrator.output_hint
    raise TypeError(
        f"{orchestrator!r} is not an orchestrator: decorate the function with @durable_ray.orchestrator, or pass the "
        "name under which one is deployed"
    )
