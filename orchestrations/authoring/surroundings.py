"""The read-only part of the orchestration context: IDs, the orchestration's time, and values that only look
random.

All of it comes out of history, or is derived from the names of instance and execution: the same on every
replay.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import MutableMapping
from datetime import datetime
from typing import Any, TypeVar, overload

from durable_ray.orchestrations.authoring.arguments import input_value
from durable_ray.orchestrations.engine.work import Work
from durable_ray.orchestrations.history.events import ExecutionStarted
from durable_ray.orchestrations.values.ids import replayable_uuid
from durable_ray.orchestrations.values.times import to_datetime

T = TypeVar("T")


class ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    """A replay-safe logger: silent during replay, so that each message is logged once."""

    def __init__(self, logger: logging.Logger, work: Work) -> None:
        super().__init__(logger, None)
        self._work = work

    def isEnabledFor(self, level: int) -> bool:
        """Whether a record of `level` would be logged now."""
        return not (self._work.replaying or self._work.loop.inert) and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave message and arguments as they are."""
        return msg, kwargs


class ReplaySafeContext:
    """The part of the context that schedules nothing.

    Attributes are read-only; all times are aware UTC datetimes, and stand still within a turn.
    """

    __slots__ = ("__weakref__", "_input_hint", "_logger", "_random", "_uuids", "_work")

    def __init__(self, work: Work, input_hint: object = None) -> None:
        self._work = work
        self._input_hint = input_hint
        self._uuids = 0
        self._random: random.Random | None = None
        self._logger: ReplaySafeLogger | None = None

    @property
    def instance_id(self) -> str:
        """The ID of this instance."""
        return self._work.instance_id

    @property
    def execution_id(self) -> str:
        """The ID of this execution: another one after every continue-as-new."""
        return self._started.execution_id

    @property
    def parent_instance_id(self) -> str | None:
        """The ID of the instance that called this one as a sub-orchestration, or None."""
        parent = self._started.parent
        return None if parent is None else parent.instance_id

    @property
    def name(self) -> str:
        """The name under which this orchestrator was started."""
        return self._started.name

    @property
    def version(self) -> str:
        """The version of the orchestrator that this instance runs; empty if it has none."""
        return self._started.version

    @property
    def is_replaying(self) -> bool:
        """Whether the code running now has run before, and only catches up with history."""
        return self._work.replaying

    @property
    def current_utc_datetime(self) -> datetime:
        """The orchestration's time: when this turn began. The same on every replay."""
        return to_datetime(self._work.loop.now)

    @property
    def will_continue_as_new(self) -> bool:
        """Whether `continue_as_new` was called."""
        return self._work.continued is not None

    @property
    def custom_status(self) -> Any:
        """The custom status last set in this execution, as its JSON value; None before that."""
        status = self._work.custom_status
        return None if status is None else self._work.codec.decode(status)

    @property
    def random(self) -> random.Random:
        """Random numbers that are the same on every replay of this execution."""
        if self._random is None:
            self._random = random.Random(f"{self.instance_id}/{self.execution_id}")
        return self._random

    @property
    def logger(self) -> ReplaySafeLogger:
        """A logger named after the orchestrator that is silent in replay."""
        if self._logger is None:
            self._logger = self.create_replay_safe_logger(logging.getLogger(f"durable_ray.{self.name}"))
        return self._logger

    def create_replay_safe_logger(self, logger: logging.Logger) -> ReplaySafeLogger:
        """Wrap `logger` so that it is silent in replay (durabletask-python's method of that name)."""
        return ReplaySafeLogger(logger, self._work)

    @overload
    def get_input(self, expected_type: type[T]) -> T: ...
    @overload
    def get_input(self, expected_type: Any = None) -> Any: ...
    def get_input(self, expected_type: Any = None) -> Any:
        """The input of this execution; if it was started with several arguments, these by name, as plain JSON values.

        Args:
            expected_type: read it as this type; by default as the type hint of the orchestrator's second
            parameter.

        Example:
            >>> def orchestrator(context):
            ...     city = context.get_input()
        """
        hint = self._input_hint if expected_type is None else expected_type
        payload = self._started.input
        return None if payload is None else input_value(payload, hint, self._work.codec)

    def new_uuid(self) -> uuid.UUID:
        """A UUID (version 5) that is unique to this call and the same on every replay."""
        self._uuids += 1
        return replayable_uuid(self.instance_id, self.execution_id, self._uuids)

    def new_guid(self) -> uuid.UUID:
        """As `new_uuid`, under Azure's name."""
        return self.new_uuid()

    @property
    def _started(self) -> ExecutionStarted:
        started = self._work.started
        assert started is not None, "code runs only after the execution started"
        return started
