"""Starting orchestrations: by function or name, one or many, at once or later, with an event or by a start object."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, get_args

from msgspec.structs import replace

from durable_ray.actors import errors
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.placement import partition_host
from durable_ray.actors.instances.requests import raised
from durable_ray.actors.instances.status import micros
from durable_ray.actors.messages import Reply, StartOptions, StartRequest
from durable_ray.actors.store.records import IfExists, Placement
from durable_ray.client.operations.base import AnyOrchestrator, ClientCore, H, definition_of, encoded_input
from durable_ray.client.operations.start_objects import StartObject, read_start_objects
from durable_ray.client.steps import Steps, in_order, operation
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.values.ids import validate_instance_id, validate_tags, validate_version


class StartKeywords(TypedDict, total=False):
    """The options of `start_new` and `start_many`, for callers that pass them on as they are."""

    if_exists: IfExists
    start_at: datetime | timedelta | None
    tags: Mapping[str, str] | None
    placement: Placement | None
    version: str | None
    priority: int | None


_IF_EXISTS: tuple[str, ...] = get_args(IfExists)
_PLACEMENTS: tuple[str, ...] = get_args(Placement)


def _options(
    start_at: datetime | timedelta | None = None,
    tags: Mapping[str, str] | None = None,
    placement: Placement | None = None,
    version: str | None = None,
    priority: int | None = None,
) -> StartOptions:
    """The options, checked: what is sent is not validated again, and would be taken for another value or fail in the store.

    Which orchestrator, its input and the IDs are filled in for each start.
    """
    if placement is not None and placement not in _PLACEMENTS:
        raise ValueError(f"placement is one of {', '.join(_PLACEMENTS)}, not {placement!r}")
    if start_at is not None and not isinstance(start_at, (datetime, timedelta)):
        raise TypeError(f"start_at is a datetime or a timedelta, not {start_at!r}")
    validate_tags(tags)
    if version is not None:
        if not isinstance(version, str):
            raise TypeError(f"version is a text, not {version!r}")
        validate_version(version)
    if priority is not None:
        if not isinstance(priority, int):
            raise TypeError(f"priority is a whole number, not {priority!r}")
        if abs(priority) >= 1 << 31:
            raise ValueError(f"priority is a number of 32 bits; {priority} is too large")
    return StartOptions(
        version=version,
        start_at=micros(start_at) if isinstance(start_at, datetime) else None,
        delay=start_at // timedelta(microseconds=1) if isinstance(start_at, timedelta) else None,
        tags=dict(tags or {}),
        placement=placement,
        priority=priority,
    )


class StartOperations(ClientCore[H]):
    """Everything that begins an instance."""

    @operation
    def register(self, *definitions: Activity[..., Any] | Orchestrator[..., Any]) -> Steps[None]:
        """Deploy definitions to the hub now: these, or, without arguments, all that this process has decorated.

        A start does this by itself for whatever was decorated since the last one.

        Raises:
            DefinitionCannotTravel: one of these cannot be stored (it holds a lock, a connection, …). Without arguments
                the others are deployed all the same.
        """
        for one in definitions:
            given: object = one
            if not isinstance(given, Activity | Orchestrator):
                raise TypeError(
                    f"{one!r} is no definition: decorate it with @durable_ray.orchestrator or @durable_ray.activity"
                )
        yield from self._deployer.register(self._router, definitions)

    @operation
    def start(self, orchestrator: Orchestrator[..., Any, Any], /, *args: Any, **kwargs: Any) -> Steps[H]:
        """Start an orchestration with its own arguments, as they stand in its signature; the ID is a random one.

        With options: `start_new(orchestrator.bind(...), instance_id=...)`.

        Raises:
            InvalidArguments: it cannot be called so; the message names the parameter.
            Whatever else `start_new` raises.

        Example:
            >>> handle = client.start(order, "ada", items=3)  # doctest: +SKIP
        """
        given: object = orchestrator
        if not isinstance(given, Orchestrator):
            raise TypeError(
                f"start takes a decorated orchestrator, not {given!r}; by name there is start_new(name, input)"
            )
        bound = orchestrator.bind(*args, **kwargs)
        (handle,) = yield from self._start(bound, [None], [None], _options(), "reject")
        return handle

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
            orchestrator: the decorated function, or the name under which it is deployed; or the function with its arguments,
                `orchestrator.bind(...)`.
            input: any JSON value, by the orchestrator's type hint; other Python values are pickled.
            instance_id: the singleton's ID; a random one (32 hex digits) if left out.
            if_exists: what to do if the ID is taken by an instance that has not finished: "reject" raises,
                "use_existing" returns a handle on it, "terminate_existing" ends it and starts anew, "reject_finished"
                raises even if it has finished. Atomic: of N racing starters one wins.
            start_at: not before this time (naive: UTC), or not before this much time has passed.
            tags: text labels that lists can filter by; at most 50, keys of 128 and values of 256 characters.
            placement: "dedicated" (an actor of its own, named as the instance) or "shared".
            version: the orchestrator's version; the newest if left out.
            priority: of those waiting for a place, the higher goes first.

        Raises:
            InstanceAlreadyExists: the ID is taken.
            InvalidInstanceId: the ID cannot be used.
            InvalidLabel: a tag or the version cannot be used.
            UnknownDefinition: nobody deployed an orchestrator of that name (and version).
            DefinitionCannotTravel: it, or something that its code calls, cannot be stored.
            PayloadNotSerializable: the input can be neither JSON nor pickled.
            InvalidArguments: arguments by name do not fit the orchestrator's parameters.
            HubUnavailable: the hub did not answer.

        Example:
            >>> handle = client.start_new(hello_cities, ["Tokyo"], instance_id="hello")  # doctest: +SKIP

        Durable Functions' `start_new`; the policies are Temporal's.
        """
        options = _options(start_at, tags, placement, version, priority)
        (handle,) = yield from self._start(orchestrator, [input], [instance_id], options, if_exists)
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

        Several arguments for each: ``start_many(order, [order.bind("ada", items=3), order.bind("bob", items=1)])``.

        Raises what `start_new` raises; the others were started all the same.
        """
        values = list(inputs)
        ids: list[str | None] = [None] * len(values) if instance_ids is None else list(instance_ids)
        if len(ids) != len(values):
            raise ValueError(f"{len(values)} inputs need as many instance IDs, not {len(ids)}")
        options = _options(start_at, tags, placement, version, priority)
        return (yield from self._start(orchestrator, values, ids, options, if_exists))

    @operation
    def start_from(
        self, start: StartObject | Mapping[str, Any] | str | bytes | Sequence[Any], *, if_exists: IfExists = "reject"
    ) -> Steps[list[H]]:
        """Start the instance of a JSON start object, or of each in a list: `{"FunctionName": …, "Input": …, "InstanceId": …}`.

        Args:
            start: a `StartObject`, a mapping with its fields, a list of these, or any of it as JSON text; empty text
                starts nothing.

        Returns:
            A handle for each, in order.

        Raises:
            StartObjectInvalid: not a start object (a field is missing or unknown); nothing was started.
            InvalidInstanceId: an ID cannot be used; nothing was started.
            Whatever `start_new` raises; those before it in the list were started.

        Example:
            >>> client.start_from([{"FunctionName": "hello", "Input": "Tokyo"}])  # doctest: +SKIP

        The objects that Durable Functions' `orchestrationClient` output binding takes.
        """
        handles: list[H] = []
        all_wanted = read_start_objects(start)
        for wanted in all_wanted:
            if wanted.instance_id is not None:
                validate_instance_id(wanted.instance_id)
        for wanted in all_wanted:
            handles += yield from self._start(
                wanted.function_name, [wanted.input], [wanted.instance_id], _options(), if_exists
            )
        return handles

    @operation
    def signal_with_start(
        self,
        orchestrator: AnyOrchestrator,
        event_name: str,
        event_data: object = None,
        *,
        instance_id: str,
        input: object = None,
        tags: Mapping[str, str] | None = None,
        placement: Placement | None = None,
        version: str | None = None,
    ) -> Steps[H]:
        """Raise an event for an instance, which is started with `input` if it is absent or has finished: in one commit.

        Example:
            >>> client.signal_with_start(cart, "add", "book", instance_id="cart-7")  # doctest: +SKIP

        Temporal's signal-with-start. Raises what `start_new` raises, but never that the ID is taken.
        """
        message_id = uuid.uuid4().hex
        signal = Message(message_id, raised(event_name, event_data, message_id))
        options = _options(None, tags, placement, version)
        validate_instance_id(instance_id)
        start = self._start(orchestrator, [input], [instance_id], options, "use_existing", signal)
        (handle,) = yield from in_order(instance_id, start)
        return handle

    # --- inside -----------------------------------------------------------------------------------

    def _start(
        self,
        orchestrator: AnyOrchestrator,
        values: Sequence[object],
        ids: Sequence[str | None],
        options: StartOptions,
        if_exists: IfExists,
        signal: Message | None = None,
    ) -> Steps[list[H]]:
        if if_exists not in _IF_EXISTS:
            raise ValueError(f"if_exists is one of {', '.join(_IF_EXISTS)}, not {if_exists!r}")
        for instance_id in ids:
            if instance_id is not None:
                validate_instance_id(instance_id)
        payloads = [encoded_input(orchestrator, value) for value in values]
        definition = definition_of(orchestrator)
        if isinstance(definition, str):
            name, hint, own_version = definition, None, None
        else:
            name, hint, own_version = definition.name, definition.output_hint, definition.version or None
        options = replace(options, name=name, version=options.version or own_version)
        yield from self._deployer.deploy(self._router, name, options.version)
        revision = self._deployer.revision
        requests: dict[str | None, list[StartRequest]] = {}
        order: list[StartRequest] = []
        for payload, chosen in zip(payloads, ids, strict=True):
            start_options = replace(
                options,
                instance_id=chosen or uuid.uuid4().hex,
                execution_id=uuid.uuid4().hex,
                named=chosen is not None,
                input=payload,
            )
            request = StartRequest(uuid.uuid4().hex, start_options, if_exists, revision=revision, signal=signal)
            shared = chosen is None and options.placement != "dedicated" and self._deployer.may_be_shared(name)
            host = partition_host(start_options.instance_id, self._partitions) if shared else None
            requests.setdefault(host, []).append(request)
            order.append(request)
        replies: dict[str, Reply] = {}
        for host, group in requests.items():
            answers = yield from self._router.start(group, host)
            replies.update(zip([request.request_id for request in group], answers, strict=True))
        return [self._started(request, replies[request.request_id], hint) for request in order]

    def _started(self, request: StartRequest, reply: Reply, hint: Any) -> H:
        instance_id = request.start_options.instance_id
        if reply.code == "unknown":
            raise errors.UnknownDefinition(
                f"no orchestrator {reply.detail} is deployed to the hub {self.hub!r}; pass the decorated function, or "
                "deploy it first: client.register(function)"
            )
        if reply.code == "exists" and request.if_exists != "use_existing":
            raise errors.InstanceAlreadyExists(instance_id, reply.detail)
        if reply.code != "exists":
            errors.raise_for(instance_id, reply.code, reply.detail)
            instance_log.started(instance_id)
        if reply.host:
            self._router.remember(instance_id, reply.host)
        return self._handle(instance_id, hint)
