"""The operations whose types follow from the orchestrator they are given, as type checkers and editors see them.

Each operation is written once, as steps; what a generic method of these answers, a handle of the orchestrator's
own result, differs between the two clients in a way that Python's types cannot say once. There is nothing here when code runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

if TYPE_CHECKING:
    from durable_ray.actors.store.records import Placement
    from durable_ray.client.handle import AsyncOrchestrationHandle, OrchestrationHandle
    from durable_ray.client.operations.starting import StartKeywords
    from durable_ray.orchestrations.authoring.arguments import (
        BoundOrchestrator,
        OrchestratorWithInput,
        OrchestratorWithoutInput,
    )
    from durable_ray.orchestrations.authoring.definitions import Orchestrator

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
Q = ParamSpec("Q")


class BlockingCalls:
    """The typed operations of a client whose operations are blocking."""

    if TYPE_CHECKING:

        def start(
            self, orchestrator: Orchestrator[Q, R, Any], /, *args: Q.args, **kwargs: Q.kwargs
        ) -> OrchestrationHandle[R]:
            """See `StartOperations.start`."""

        @overload
        def start_new(
            self,
            orchestrator: OrchestratorWithInput[A, R],
            input: A,
            *,
            instance_id: str | None = None,
            **options: Unpack[StartKeywords],
        ) -> OrchestrationHandle[R]: ...
        @overload
        def start_new(
            self,
            orchestrator: OrchestratorWithoutInput[R] | BoundOrchestrator[R],
            *,
            instance_id: str | None = None,
            **options: Unpack[StartKeywords],
        ) -> OrchestrationHandle[R]: ...
        @overload
        def start_new(
            self,
            orchestrator: str,
            input: object = None,
            *,
            instance_id: str | None = None,
            **options: Unpack[StartKeywords],
        ) -> OrchestrationHandle[Any]: ...
        def start_new(self, orchestrator: Any, input: object = None, **options: Any) -> Any:
            """See `StartOperations.start_new`."""

        @overload
        def start_many(
            self,
            orchestrator: OrchestratorWithInput[A, R],
            inputs: Iterable[A],
            *,
            instance_ids: Sequence[str] | None = None,
            **options: Unpack[StartKeywords],
        ) -> list[OrchestrationHandle[R]]: ...
        @overload
        def start_many(
            self,
            orchestrator: Orchestrator[..., R, Any],
            inputs: Iterable[BoundOrchestrator[R] | None],
            *,
            instance_ids: Sequence[str] | None = None,
            **options: Unpack[StartKeywords],
        ) -> list[OrchestrationHandle[R]]: ...
        @overload
        def start_many(
            self,
            orchestrator: str,
            inputs: Iterable[object],
            *,
            instance_ids: Sequence[str] | None = None,
            **options: Unpack[StartKeywords],
        ) -> list[OrchestrationHandle[Any]]: ...
        def start_many(self, orchestrator: Any, inputs: Iterable[Any], **options: Any) -> Any:
            """See `StartOperations.start_many`."""

        @overload
        def signal_with_start(
            self,
            orchestrator: BoundOrchestrator[R] | Orchestrator[..., R, Any],
            event_name: str,
            event_data: object = None,
            *,
            instance_id: str,
            input: object = None,
            tags: Mapping[str, str] | None = None,
            placement: Placement | None = None,
            version: str | None = None,
        ) -> OrchestrationHandle[R]: ...
        @overload
        def signal_with_start(
            self,
            orchestrator: str,
            event_name: str,
            event_data: object = None,
            *,
            instance_id: str,
            input: object = None,
            tags: Mapping[str, str] | None = None,
            placement: Placement | None = None,
            version: str | None = None,
        ) -> OrchestrationHandle[Any]: ...
        def signal_with_start(
            self, orchestrator: Any, event_name: str, event_data: object = None, **options: Any
        ) -> Any:
            """See `StartOperations.signal_with_start`."""

        @overload
        def wait_for_completion(self, instance_id: str, timeout: float | None = None, *, output_type: type[T]) -> T: ...
        @overload
        def wait_for_completion(
            self, instance_id: str, timeout: float | None = None, *, output_type: Any = None
        ) -> Any: ...
        def wait_for_completion(
            self, instance_id: str, timeout: float | None = None, *, output_type: Any = None
        ) -> Any:
            """See `WaitOperations.wait_for_completion`."""

        @overload
        def wait_many(self, handles: Iterable[OrchestrationHandle[R]], timeout: float | None = None) -> list[R]: ...
        @overload
        def wait_many(self, handles: Iterable[Any], timeout: float | None = None) -> list[Any]: ...
        def wait_many(self, handles: Iterable[Any], timeout: float | None = None) -> list[Any]:
            """See `WaitOperations.wait_many`."""


class AwaitedCalls:
    """The typed operations of a client whose operations are awaited."""

    if TYPE_CHECKING:

        async def start(
            self, orchestrator: Orchestrator[Q, R, Any], /, *args: Q.args, **kwargs: Q.kwargs
        ) -> AsyncOrchestrationHandle[R]:
            """See `StartOperations.start`."""

        @overload
        async def start_new(
            self,
            orchestrator: OrchestratorWithInput[A, R],
            input: A,
            *,
            instance_id: str | None = None,
            **options: Unpack[StartKeywords],
        ) -> AsyncOrchestrationHandle[R]: ...
        @overload
        async def start_new(
            self,
            orchestrator: OrchestratorWithoutInput[R] | BoundOrchestrator[R],
            *,
            instance_id: str | None = None,
            **options: Unpack[StartKeywords],
        ) -> AsyncOrchestrationHandle[R]: ...
        @overload
        async def start_new(
            self,
            orchestrator: str,
            input: object = None,
            *,
            instance_id: str | None = None,
            **options: Unpack[StartKeywords],
        ) -> AsyncOrchestrationHandle[Any]: ...
        async def start_new(self, orchestrator: Any, input: object = None, **options: Any) -> Any:
            """See `StartOperations.start_new`."""

        @overload
        async def start_many(
            self,
            orchestrator: OrchestratorWithInput[A, R],
            inputs: Iterable[A],
            *,
            instance_ids: Sequence[str] | None = None,
            **options: Unpack[StartKeywords],
        ) -> list[AsyncOrchestrationHandle[R]]: ...
        @overload
        async def start_many(
            self,
            orchestrator: Orchestrator[..., R, Any],
            inputs: Iterable[BoundOrchestrator[R] | None],
            *,
            instance_ids: Sequence[str] | None = None,
            **options: Unpack[StartKeywords],
        ) -> list[AsyncOrchestrationHandle[R]]: ...
        @overload
        async def start_many(
            self,
            orchestrator: str,
            inputs: Iterable[object],
            *,
            instance_ids: Sequence[str] | None = None,
            **options: Unpack[StartKeywords],
        ) -> list[AsyncOrchestrationHandle[Any]]: ...
        async def start_many(self, orchestrator: Any, inputs: Iterable[Any], **options: Any) -> Any:
            """See `StartOperations.start_many`."""

        @overload
        async def signal_with_start(
            self,
            orchestrator: BoundOrchestrator[R] | Orchestrator[..., R, Any],
            event_name: str,
            event_data: object = None,
            *,
            instance_id: str,
            input: object = None,
            tags: Mapping[str, str] | None = None,
            placement: Placement | None = None,
            version: str | None = None,
        ) -> AsyncOrchestrationHandle[R]: ...
        @overload
        async def signal_with_start(
            self,
            orchestrator: str,
            event_name: str,
            event_data: object = None,
            *,
            instance_id: str,
            input: object = None,
            tags: Mapping[str, str] | None = None,
            placement: Placement | None = None,
            version: str | None = None,
        ) -> AsyncOrchestrationHandle[Any]: ...
        async def signal_with_start(
            self, orchestrator: Any, event_name: str, event_data: object = None, **options: Any
        ) -> Any:
            """See `StartOperations.signal_with_start`."""

        @overload
        async def wait_for_completion(
            self, instance_id: str, timeout: float | None = None, *, output_type: type[T]
        ) -> T: ...
        @overload
        async def wait_for_completion(
            self, instance_id: str, timeout: float | None = None, *, output_type: Any = None
        ) -> Any: ...
        async def wait_for_completion(
            self, instance_id: str, timeout: float | None = None, *, output_type: Any = None
        ) -> Any:
            """See `WaitOperations.wait_for_completion`."""

        @overload
        async def wait_many(
            self, handles: Iterable[AsyncOrchestrationHandle[R]], timeout: float | None = None
        ) -> list[R]: ...
        @overload
        async def wait_many(self, handles: Iterable[Any], timeout: float | None = None) -> list[Any]: ...
        async def wait_many(self, handles: Iterable[Any], timeout: float | None = None) -> list[Any]:
            """See `WaitOperations.wait_many`."""
