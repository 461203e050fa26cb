"""Azure-style orchestrators: tasks and arguments as Azure's Python SDK has them, failures with its texts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from durable_ray.orchestrations.authoring.generators import GeneratorContext, GeneratorTask
from durable_ray.orchestrations.authoring.retries import retry_policy_of
from durable_ray.orchestrations.engine.work import UNSET
from durable_ray.orchestrations.values.azure_texts import speak_azure


def azure_style(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an orchestrator's function: it is given an `AzureContext`. The mark travels with the function."""
    fn.durable_ray_context = AzureContext  # type: ignore[attr-defined]
    return fn


class AzureTask(GeneratorTask):
    """A task whose failure has the text that Azure's SDK gives it."""

    __slots__ = ()

    def _failure(self, error: BaseException) -> BaseException:
        speak_azure(error)
        return error


class AzureContext(GeneratorContext):
    """Azure's `DurableOrchestrationContext`: its names and order of arguments; those of `OrchestrationContext` work too."""

    __slots__ = ()

    def call_activity(  # type: ignore[override]
        self, name: Any = None, input_: object = None, expected_type: Any = None, *, activity: Any = None, **more: Any
    ) -> Any:
        """Run the activity of that name, or a decorated one."""
        return super().call_activity(_said(name, activity), input_, **_typed(expected_type, more))

    def call_activity_with_retry(
        self, name: Any, retry_options: Any, input_: object = None, expected_type: Any = None
    ) -> Any:
        """As `call_activity`, up to as many times as the options say."""
        return self.call_activity(name, input_, expected_type, retry_policy=retry_policy_of(retry_options))

    def call_sub_orchestrator(  # type: ignore[override]
        self,
        name: Any = None,
        input_: object = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
        *,
        orchestrator: Any = None,
        **more: Any,
    ) -> Any:
        """Run the orchestrator of that name, or a decorated one, as a child."""
        target, more = _said(name, orchestrator), _typed(expected_type, more)
        return super().call_sub_orchestrator(target, input_, instance_id, version=version, **more)

    def call_sub_orchestrator_with_retry(
        self,
        name: Any,
        retry_options: Any,
        input_: object = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
    ) -> Any:
        """As `call_sub_orchestrator`, up to as many times as the options say."""
        policy = retry_policy_of(retry_options)
        return self.call_sub_orchestrator(name, input_, instance_id, version, expected_type, retry_policy=policy)

    def wait_for_external_event(  # type: ignore[override]
        self,
        name: str,
        expected_type: Any = None,
        default: object = UNSET,
        *,
        timeout: Any = None,
        data_type: Any = None,
    ) -> Any:
        """Wait for an event; its data is read as `expected_type`."""
        wanted = data_type if expected_type is None else expected_type
        return super().wait_for_external_event(name, timeout, default, data_type=wanted)

    def task_all(self, activities: Any = None, *, tasks: Any = None) -> Any:  # type: ignore[override]
        """Wait for all of these tasks."""
        return super().task_all(tasks if activities is None else activities)

    def task_any(self, activities: Any = None, *, tasks: Any = None) -> Any:  # type: ignore[override]
        """Wait for the first of these tasks; the result is that task."""
        return super().task_any(tasks if activities is None else activities)

    @property
    def _instance_id(self) -> str:
        """What some apps read although it is private."""
        return self.instance_id

    @property
    def _input(self) -> str | None:
        """The same of the input: its JSON text, as Azure has it."""
        return self._started.input

    def new_uuid(self) -> Any:
        """As `OrchestrationContext.new_uuid`, as text."""
        return str(super().new_uuid())

    def new_guid(self) -> uuid.UUID:
        """The same as a UUID."""
        return super().new_uuid()

    def _given(self, future: asyncio.Future[Any]) -> Any:
        return AzureTask(future)


def _said(name: Any, alias: Any) -> Any:
    target = alias if name is None else name
    if target is None:
        raise TypeError("say what to call: its name, or the decorated function")
    return target


def _typed(expected_type: Any, more: dict[str, Any]) -> dict[str, Any]:
    return more if expected_type is None else {**more, "result_type": expected_type}
