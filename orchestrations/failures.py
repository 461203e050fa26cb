"""What went wrong, as a value that survives its process; and the exceptions that orchestrator code sees."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from durable_ray.orchestrations.values import Value

#: A traceback longer than this is cut in the middle: the two ends are what a reader needs.
MAX_TRACEBACK_CHARS = 16_000
MAX_MESSAGE_CHARS = 8_000
_MAX_CHAIN = 16


class FailureDetails(Value, frozen=True, omit_defaults=True):
    """An error as recorded in history: type, message, traceback text and the errors that caused it.

    `bases` are the qualified names of the error's class and all its bases, so that a failure can be recognised by type
    in a process that cannot import the class.
    """

    error_type: str
    message: str
    stack_trace: str = ""
    bases: tuple[str, ...] = ()
    cause: FailureDetails | None = None
    non_retryable: bool = False

    @classmethod
    def of(cls, error: BaseException, _depth: int = 0) -> FailureDetails:
        """Describe `error` with its cause chain; never raises, whatever its ``__str__`` does."""
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        inner = cls.of(cause, _depth + 1) if cause is not None and _depth < _MAX_CHAIN else None
        if isinstance(error, TaskFailed) and inner is None:
            inner = error.details
        return cls(
            error_type=_qualified(type(error)),
            message=_cut(_text_of(error), MAX_MESSAGE_CHARS),
            stack_trace=_cut(_trace_of(error), MAX_TRACEBACK_CHARS),
            bases=tuple(_qualified(base) for base in type(error).__mro__ if base is not object),
            cause=inner,
            non_retryable=isinstance(error, NonRetryable) or _says_so(error),
        )

    def chain(self) -> Iterator[FailureDetails]:
        """This failure, then what caused it, then what caused that."""
        at: FailureDetails | None = self
        while at is not None:
            yield at
            at = at.cause

    def is_caused_by(self, error: type[BaseException] | str, *, chain: bool = True) -> bool:
        """Whether this failure (or, with `chain`, one of its causes) is an `error` or a subclass of it.

        Args:
            error: an exception class, its qualified name (``"builtins.ValueError"``) or its bare name.
            chain: look through the causes too.

        Example:
            >>> FailureDetails.of(KeyError("x")).is_caused_by(LookupError)
            True
        """
        wanted = error if isinstance(error, str) else _qualified(error)
        links = self.chain() if chain else iter((self,))
        return any(wanted == name or wanted == name.rpartition(".")[2] for link in links for name in link.names())

    def names(self) -> tuple[str, ...]:
        """All names by which this failure's class is known."""
        return self.bases or (self.error_type,)

    def __str__(self) -> str:
        return f"{self.error_type.removeprefix('builtins.')}: {self.message}"


class OrchestrationError(Exception):
    """Base of the errors that the engine raises into orchestrator code."""


class TaskFailed(OrchestrationError):
    """An awaited activity or sub-orchestration failed for good.

    Catch it by kind with :meth:`is_caused_by`; `details` has everything that history keeps.

    Example:
        >>> try:
        ...     raise TaskFailed("Activity 'pay' (#1) failed: ValueError: no", FailureDetails.of(ValueError("no")))
        ... except TaskFailed as error:
        ...     error.is_caused_by(ValueError)
        True
    """

    def __init__(self, message: str, details: FailureDetails, task_id: int = 0) -> None:
        super().__init__(message)
        self.details = details
        self.task_id = task_id

    def __reduce__(self) -> tuple[type[TaskFailed], tuple[str, FailureDetails, int]]:
        return type(self), (str(self), self.details, self.task_id)

    def is_caused_by(self, error: type[BaseException] | str) -> bool:
        """Whether the failure, or any of its causes, is an `error` (class or name) or a subclass of it."""
        return self.details.is_caused_by(error)


class ActivityFailed(TaskFailed):
    """An activity failed after its last attempt."""


class SubOrchestrationFailed(TaskFailed):
    """A sub-orchestration failed, was terminated, or could not be started."""


class NonRetryable(Exception):
    """Raise this (or a subclass, or set `non_retryable = True` on any error) to end an activity's retries at once."""


class NonDeterminismError(OrchestrationError):
    """The code does not do what history says it did; the message names the event, both versions and the usual causes."""


class NotDeterministic(OrchestrationError):
    """Orchestrator code asked its event loop for something that replay cannot repeat (I/O, threads, executors)."""


class TaskCanceled(OrchestrationError):
    """The result of a task that was cancelled was asked for."""


class Evicted(BaseException):
    """The coroutine is being put away and will be rebuilt by replay.

    A `BaseException`, so that ``except Exception`` in user code cannot swallow it. Raised and caught in one place only:
    `replay.Execution.close`.
    """


def reasons(error: BaseException, *, hidden: bool = False) -> Iterator[BaseException]:
    """What led straight to `error`: its cause or context, and, of a group, its members.

    This is the one step of every walk over exceptions. `hidden`: also the context that `raise ... from` hides.
    """
    if error.__cause__ is not None:
        yield error.__cause__
    context = error.__context__ if hidden or not error.__suppress_context__ else None
    if context is not None and context is not error.__cause__:
        yield context
    if isinstance(error, BaseExceptionGroup):
        yield from error.exceptions


def _qualified(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _says_so(error: BaseException) -> bool:
    try:
        return bool(getattr(error, "non_retryable", False))
    except BaseException:  # whatever user code does there, to describe it must not fail
        return False


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:
        return f"<{type(error).__name__}.__str__ raised {type(broken).__name__}>"


def _trace_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__, chain=False))
    except BaseException:
        return ""


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - limit} characters left out ...\n{text[-half:]}"
